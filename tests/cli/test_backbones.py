import json

import pytest

from adapterkit.runs.hashing import sha256_file


def test_show_counts_shared_parameters_once(cli, tiny_backbone):
    facts = cli("backbones", "show", tiny_backbone, "--json").json
    hidden, inner, embedding = 32, 64, 16
    block = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + hidden + inner + 4 * hidden
    assert (facts["steps"], facts["hidden_size"], facts["layerwise"]) == (4, hidden, False)
    tables = (facts["vocabulary"] + 512 + 2) * embedding + 2 * embedding
    assert facts["parameters"] == block + tables + embedding * hidden + hidden
    shown = cli("backbones", "show", tiny_backbone)
    assert f"{facts['parameters']:,}" in shown.stdout
    assert facts["fingerprint"] in shown.stdout


def test_list_includes_a_folder(cli, tiny_backbone):
    listed = cli("backbones", "list", tiny_backbone.parent, "--json").json["backbones"]
    assert [facts["id"] for facts in listed] == ["bundled", str(tiny_backbone)]


def test_fingerprint_is_that_of_the_card(cli, tiny_backbone):
    card = json.loads((tiny_backbone / "card.json").read_text())
    assert cli("backbones", "fingerprint", tiny_backbone).stdout.strip() == card["fingerprint"]
    found = cli("backbones", "fingerprint", tiny_backbone, "--json").json
    assert found == {"id": str(tiny_backbone), "fingerprint": card["fingerprint"]}


def test_export_is_read_by_stock_transformers(cli, tiny_backbone, tmp_path):
    target = tmp_path / "albert"
    outcome = cli("backbones", "export", tiny_backbone, target)
    assert outcome.status == 0, outcome.stderr
    assert str(target) in outcome.stdout
    config = json.loads((target / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_groups"]) == ("albert", 4)


def test_export_overwrites_nothing(cli, tiny_backbone, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    outcome = cli("backbones", "export", tiny_backbone, tmp_path)
    assert outcome.status == 2
    assert str(tmp_path) in outcome.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("verb", ["show", "fingerprint"])
def test_no_such_backbone(cli, tmp_path, verb):
    outcome = cli("backbones", verb, tmp_path / "nowhere")
    assert outcome.status == 2
    assert "nowhere" in outcome.stderr


def test_import_of_a_foreign_folder_writes_nothing(cli, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"model_type": "gpt2"}')
    outcome = cli("backbones", "import", source, tmp_path / "target")
    assert outcome.status == 2
    assert "gpt2" in outcome.stderr
    assert not (tmp_path / "target").exists()


def test_a_changed_byte_is_noticed(cli, tiny_backbone, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_backbone, copy)
    weights = copy / "model.safetensors"
    before = sha256_file(weights)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0x01
    weights.write_bytes(content)
    assert sha256_file(weights) != before
    assert cli("backbones", "show", copy).status == 2


def test_import_of_a_published_checkpoint_without_a_tokenizer(cli, tmp_path):
    from tests.backbones.minialbert import Shape, base_tensors, config_of, write

    shape = Shape()
    source = write(tmp_path / "source", base_tensors(shape), config_of(shape))
    words = tmp_path / "words"
    words.mkdir()
    (source / "vocab.txt").rename(words / "vocab.txt")
    refused = cli("backbones", "import", source, tmp_path / "target")
    assert refused.status == 2
    assert "tokenizer" in refused.stderr
    done = cli("backbones", "import", source, tmp_path / "target", "--tokenizer", words, "--json")
    assert done.status == 0, done.stderr
    assert (done.json["steps"], done.json["layerwise"]) == (shape.steps, shape.adapters)
    assert all(isinstance(note, str) for note in done.json["notes"])
    assert (tmp_path / "target" / "config.json").exists()
