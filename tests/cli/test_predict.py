import json

import pytest

TEXT = "Aspirin relieved her migraine.\r\nIt is β-safe.\n"


def test_json_speaks_of_the_text_as_given(cli, tiny_run):
    outcome = cli("predict", "--adapter", tiny_run, "--format", "json", stdin=TEXT.encode())
    assert outcome.status == 0, outcome.stderr
    assert outcome.stderr == ""
    (read,) = outcome.json["texts"]
    assert read["text"] == TEXT
    for entity in read["entities"]:
        assert TEXT[entity["start"] : entity["end"]] == entity["text"]
    assert outcome.json["adapters"][0]["path"] == str(tiny_run)


def test_a_file_is_read_like_standard_input(cli, tiny_run, tmp_path):
    (tmp_path / "note.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    from_file = cli("predict", "--adapter", tiny_run, tmp_path / "note.txt", "--format", "json")
    piped = cli("predict", "--adapter", tiny_run, "--format", "json", stdin=TEXT.encode())
    assert from_file.stdout == piped.stdout


def test_lines_are_texts_of_their_own(cli, tiny_run):
    arguments = ["predict", "--adapter", tiny_run, "--format", "json", "--lines"]
    read = cli(*arguments, stdin=TEXT.encode()).json["texts"]
    assert [text["text"] for text in read] == TEXT.splitlines()


def test_brat_offsets_of_lines_are_those_of_the_file(cli, tiny_run):
    text = "Aspirin relieved her migraine.\r\n\r\nIt is\u2028safe\x0c.\rLithium\nfailed"
    arguments = ["predict", "--adapter", tiny_run, "--lines"]
    texts = cli(*arguments, "--format", "json", stdin=text.encode()).json["texts"]
    read = [line["text"] for line in texts]
    assert read == [
        "Aspirin relieved her migraine.",
        "",
        "It is\u2028safe\x0c.",
        "Lithium",
        "failed",
    ]
    standoff = cli(*arguments, "--format", "brat", stdin=text.encode()).stdout
    assert len(standoff.splitlines()) == sum(len(line["entities"]) for line in texts)
    for line in standoff.splitlines():
        _, places, found = line.split("\t")
        bounds = [place.split() for place in places.partition(" ")[2].split(";")]
        assert " ".join(text[int(start) : int(end)] for start, end in bounds) == found


@pytest.mark.parametrize(
    ("style", "sign"), [("text", "Aspirin"), ("html", "<!doctype html>"), ("brat", "")]
)
def test_every_format_is_written(cli, tiny_run, style, sign):
    outcome = cli("predict", "--adapter", tiny_run, "--format", style, stdin=TEXT.encode())
    assert outcome.status == 0, outcome.stderr
    assert sign in outcome.stdout.lower() or sign in outcome.stdout
    assert "\x1b" not in outcome.stdout


def test_several_adapters_read_the_same_text(cli, tiny_run):
    outcome = cli(
        "predict", "--adapter", tiny_run, "--adapter", tiny_run, "--format", "json",
        stdin=TEXT.encode(),
    )  # fmt: skip
    assert len(outcome.json["adapters"]) == 2


@pytest.mark.parametrize("stdin", [b"", b" \n"])
def test_no_text(cli, tiny_run, stdin):
    outcome = cli("predict", "--adapter", tiny_run, stdin=stdin)
    assert outcome.status == 2
    assert "standard input" in outcome.stderr


def test_text_in_another_encoding(cli, tiny_run, tmp_path):
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    outcome = cli("predict", "--adapter", tiny_run, tmp_path / "latin.txt")
    assert outcome.status == 2
    assert f"{tmp_path / 'latin.txt'}, line 1, byte 2" in outcome.stderr


@pytest.mark.parametrize("name", ["nowhere.txt", ""])
def test_a_file_that_cannot_be_read(cli, tiny_run, tmp_path, name):
    outcome = cli("predict", "--adapter", tiny_run, tmp_path / name)
    assert outcome.status == 2
    assert str(tmp_path / name) in outcome.stderr


def test_an_unknown_format_is_refused_before_anything_is_loaded(cli, tmp_path):
    outcome = cli("predict", "--adapter", tmp_path, "--format", "jsno", stdin=b"x")
    assert outcome.status == 2
    assert "json" in outcome.stderr


def test_no_run_there(cli, tmp_path):
    outcome = cli("predict", "--adapter", tmp_path / "nowhere", stdin=b"Aspirin.")
    assert outcome.status == 2
    assert "no finished run" in outcome.stderr


def test_a_changed_backbone_is_refused(cli, tiny_run, tmp_path):
    manifest = json.loads((tiny_run / "run.json").read_text())
    manifest["backbone"]["fingerprint"] = "sha256:" + "0" * 64
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    outcome = cli("predict", "--adapter", tmp_path, stdin=b"Aspirin.")
    assert outcome.status == 2
    assert "backbone" in outcome.stderr
