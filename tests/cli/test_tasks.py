import pytest


def test_list_names_every_task(cli):
    listed = cli("tasks", "list")
    assert listed.status == 0
    for name in ("bc5cdr", "ncbi_disease", "hoc"):
        assert name in listed.stdout
    tasks = {task["name"]: task for task in cli("tasks", "list", "--json").json["tasks"]}
    assert tasks["bc5cdr"]["kind"] == "ner"
    assert tasks["bc5cdr"]["labels"] == ["Chemical", "Disease"]
    assert tasks["hoc"]["kind"] == "multilabel"


def test_show_says_what_the_configuration_says(cli):
    shown = cli("tasks", "show", "bc5cdr")
    assert shown.status == 0
    assert "kind: ner" in shown.stdout
    content = cli("tasks", "show", "bc5cdr", "--json").json
    assert content["name"] == "bc5cdr"
    assert set(content["files"]) == {"train", "dev", "test"}


def test_show_reads_a_task_file_of_the_users_own(cli, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "kind: ner\nlabels: [Gene]\nfiles: {train: a.tsv, dev: b.tsv, test: c.tsv}\n"
    )
    shown = cli("tasks", "show", tmp_path / "mine.yaml", "--json")
    assert (shown.json["name"], shown.json["labels"]) == ("mine", ["Gene"])


@pytest.mark.parametrize("name", ["bc5crd", "missing.yaml"])
def test_an_unknown_task_is_named_with_the_known_ones(cli, name):
    outcome = cli("tasks", "show", name)
    assert outcome.status == 2
    assert name in outcome.stderr
    assert "ncbi_disease" in outcome.stderr


def test_the_sample_checks_out(cli):
    checked = cli("tasks", "check", "bc5cdr", "--data", "sample")
    assert checked.status == 0, checked.stderr
    assert "sample" in checked.stdout + checked.stderr
    report = cli("tasks", "check", "bc5cdr", "--data", "sample", "--json").json
    assert report["task"] == "bc5cdr"
    assert report["ok"] is True
    assert f"{report['splits']['train']['labels']['Chemical']:,}" in checked.stdout


def test_data_that_are_not_in_order_are_status_2(cli, tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text("Aspirin\tO\n\nhelps\tO\n\n")
    (tmp_path / "mine.yaml").write_text(
        "kind: ner\nlabels: [Gene]\nfiles: {train: train.tsv, dev: dev.tsv, test: test.tsv}\n"
    )
    outcome = cli("tasks", "check", tmp_path / "mine.yaml")
    assert outcome.status == 2
    assert "error: train: nothing is labelled" in outcome.stdout
    assert "not in order" in outcome.stdout


def test_check_reads_the_splits_a_task_has(cli, tmp_path):
    (tmp_path / "train.tsv").write_text("BRCA1\tB-Gene\n")
    (tmp_path / "mine.yaml").write_text("kind: ner\nlabels: [Gene]\nfiles: {train: train.tsv}\n")
    outcome = cli("tasks", "check", tmp_path / "mine.yaml", "--json")
    assert outcome.status == 0, outcome.stderr
    assert list(outcome.json["splits"]) == ["train"]


def test_check_names_a_missing_folder(cli, tmp_path):
    outcome = cli("tasks", "check", "bc5cdr", "--data", tmp_path / "nowhere")
    assert outcome.status == 2
    assert str(tmp_path / "nowhere") in outcome.stderr


def test_check_names_a_missing_split(cli, tmp_path):
    (tmp_path / "train.tsv").write_text("Aspirin\tB-Chemical\n\n")
    outcome = cli("tasks", "check", "bc5cdr", "--data", tmp_path)
    assert outcome.status == 2
    assert "dev.tsv" in outcome.stderr
