import shutil

import pytest

TEXT = b"Aspirin relieved her migraine."


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTERKIT_PACKAGE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def packed(tiny_run, tmp_path_factory):
    from adapterkit.sharing.packing import pack

    folder = tmp_path_factory.mktemp("packed") / "package"
    pack([tiny_run], folder, name="bc5cdr@tiny")
    return folder


def test_the_whole_way(cli, tiny_run, tiny_backbone, tmp_path):
    """From a run to somebody else's prediction."""
    package, store = tmp_path / "package", tmp_path / "store"
    made = cli("share", "pack", tiny_run, "--output", package, "--name", "bc5cdr@tiny", "--zip")
    assert made.status == 0, made.stderr
    assert "bc5cdr@tiny" in made.stdout
    assert (tmp_path / "package.zip").is_file()
    checked = cli("share", "verify", tmp_path / "package.zip", "--backbone", tiny_backbone)
    assert checked.status == 0, checked.stderr
    assert "is as it was packed" in checked.stdout
    pushed = cli("share", "push", package, store, "--alias", "stable", "--json").json
    assert pushed["version"] == "v1"
    listed = cli("share", "list", store, "--json").json["packages"]
    assert [(each["name"], each["aliases"]) for each in listed] == [("bc5cdr@tiny", ["stable"])]
    # A score on the bundled sample is told apart from one on the corpus.
    assert {"stable", "sample"} <= set(cli("share", "list", store).stdout.split())
    pulled = cli("share", "pull", "bc5cdr@tiny:stable", "--from", store)
    assert pulled.status == 0, pulled.stderr
    shutil.rmtree(store)
    shutil.rmtree(package)
    options = ("--backbone", tiny_backbone, "--format", "json")
    found = cli("predict", "--adapter", "bc5cdr@tiny:stable", *options, stdin=TEXT)
    assert found.status == 0, found.stderr
    expected = cli("predict", "--adapter", tiny_run, "--format", "json", stdin=TEXT)
    assert found.json["texts"] == expected.json["texts"]


def test_a_package_is_evaluated_like_its_run(cli, packed, tiny_run, tiny_backbone):
    options = ("--backbone", tiny_backbone, "--json")
    found, expected = cli("evaluate", packed, *options), cli("evaluate", tiny_run, "--json")
    assert found.status == 0, found.stderr
    assert found.json["metrics"] == expected.json["metrics"]
    assert found.json["data"]["same_as_run"]


def test_json_is_the_description(cli, packed):
    found = cli("share", "verify", packed, "--json").json
    assert found["verified"] is True
    assert found["name"] == "bc5cdr@tiny"


def test_pulling_to_a_folder(cli, packed, tmp_path):
    cli("share", "push", packed, tmp_path / "store")
    target = tmp_path / "mine"
    done = cli("share", "pull", "bc5cdr@tiny", "--from", tmp_path / "store", "--output", target)
    assert done.status == 0, done.stderr
    assert cli("share", "verify", target).status == 0


def test_offline_finds_what_was_pulled(cli, packed, tmp_path):
    assert cli("share", "pull", "bc5cdr@tiny", "--offline").status == 2
    cli("share", "push", packed, tmp_path / "store")
    cli("share", "pull", "bc5cdr@tiny", "--from", tmp_path / "store")
    assert cli("share", "pull", "bc5cdr@tiny", "--offline").status == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pack", "no-run", "--output", "new"), "no finished run"),
        (("verify", "no-package"), "no-package"),
        (("push", "no-package", "store"), "no-package"),
        (("pull", "bc5cdr@tiny"), "--from"),
        (("pull", "bc5cdr", "--from", "store"), "TASK@PLAN"),
        (("pull", "bc5cdr@tiny", "--from", "no-store"), "no such store"),
        (("list", "no-store"), "no such store"),
        (("splice", "a", "b:1", "--output", "new"), "PACKAGE:STEPS"),
        (("splice", "a:x", "b:1", "--output", "new"), "no recursion steps"),
        (("merge", "a", "b", "--weights", "1,x", "--output", "new"), "--weights"),
        (("merge", "a", "b", "--output", "new"), "cannot be read"),
    ],
)
def test_mistakes_are_told(cli, arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = cli("share", *arguments)
    assert outcome.status == 2
    assert told in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "new").exists()


def test_a_changed_package_is_refused_everywhere(cli, packed, tiny_backbone, tmp_path):
    broken = tmp_path / "package"
    shutil.copytree(packed, broken)
    (broken / "README.md").write_text("better scores")
    for command in (
        ("share", "verify", broken),
        ("share", "push", broken, tmp_path / "store"),
        ("evaluate", broken, "--backbone", tiny_backbone),
        ("predict", "--adapter", broken, "--backbone", tiny_backbone),
    ):
        outcome = cli(*command, stdin=TEXT)
        assert outcome.status == 2, command
        assert "README.md" in outcome.stderr


def test_packages_are_made_of_others(cli, packed, tiny_backbone, tmp_path):
    common = ("--backbone", tiny_backbone, "--json")
    parts = (f"{packed}:0-1", f"{packed}:2-3")
    spliced = cli("share", "splice", *parts, "--output", tmp_path / "one", *common)
    assert spliced.status == 0, spliced.stderr
    assert spliced.json["origin"]["steps"] == ["0-1", "2-3"]
    merged = cli("share", "merge", packed, packed, "--output", tmp_path / "two", *common)
    assert merged.status == 0, merged.stderr
    expected = cli("evaluate", packed, *common).json["metrics"]
    assert cli("evaluate", tmp_path / "one", *common).json["metrics"] == expected
    assert cli("evaluate", tmp_path / "two", *common).json["metrics"] == expected


def test_peft_and_back(cli, tiny_backbone, tmp_path):
    common = ("--backbone", tiny_backbone, "--json")
    few = ("--data", "sample", "--epochs", "1", "--limit-train", "8", "--output", tmp_path / "run")
    assert cli("tune", "--task", "bc5cdr", "--mode", "lora", *few, *common).status == 0
    assert cli("share", "pack", tmp_path / "run", "--output", tmp_path / "one").status == 0
    exported = cli("share", "export", tmp_path / "one", "--output", tmp_path / "peft", *common)
    assert exported.status == 0, exported.stderr
    assert len(exported.json["modules"]) == 8
    task = ("--task", "bc5cdr", "--output", tmp_path / "two")
    imported = cli("share", "import", tmp_path / "peft", *task, *common)
    assert imported.status == 0, imported.stderr
    assert imported.json["plan"] == "0-3:adapter(lora)"
    sample = ("--data", "sample", *common)
    expected = cli("evaluate", tmp_path / "one", *sample).json["metrics"]
    assert cli("evaluate", tmp_path / "two", *sample).json["metrics"] == expected


def test_what_peft_does_not_compute(cli, packed, tiny_backbone, tmp_path):
    target = ("--output", tmp_path / "new")
    outcome = cli("share", "export", packed, *target, "--backbone", tiny_backbone)
    assert outcome.status == 2
    assert "something other than LoRA" in outcome.stderr
    assert cli("share", "export", packed, *target, "--format", "onnx").status == 2
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "use_dora": true}')
    options = ("--task", "bc5cdr", "--backbone", tiny_backbone, *target)
    outcome = cli("share", "import", tmp_path, *options)
    assert outcome.status == 2
    assert "use_dora" in outcome.stderr
    assert not (tmp_path / "new").exists()


def test_tuning_starts_from_a_package(cli, packed, tiny_backbone, tmp_path):
    common = ("--backbone", tiny_backbone, "--data", "sample", "--epochs", "1")
    few = ("--limit-train", "8", "--json", "--output", tmp_path / "run")
    tuned = cli("tune", "--task", "bc5cdr", "--from", packed, *common, *few)
    assert tuned.status == 0, tuned.stderr
    assert tuned.json["plan"] == cli("share", "verify", packed, "--json").json["plan"]
    assert tuned.json["start"]["sha256"]
    wrong = cli("tune", "--task", "bc5cdr", "--from", packed, "--mode", "full", *common)
    assert wrong.status == 2
    assert "weights of its own plan" in wrong.stderr


def test_a_package_teaches(cli, packed, tiny_run, tiny_backbone, tmp_path):
    few = ("--epochs", "1", "--limit-train", "20", "--data", "sample", "--backbone", tiny_backbone)
    common = ("tune", "--task", "bc5cdr", "--mode", "full", *few)
    with_it = ("--teacher", packed, "--teacher-backbone", tiny_backbone)
    numbers = ("--teacher-weight", "2", "--temperature", "4")
    tuned = cli(*common, *with_it, *numbers, "--output", tmp_path / "run", "--json")
    assert tuned.status == 0, tuned.stderr
    assert "asking the teacher" in tuned.stderr
    stated = tuned.json["teacher"]
    assert stated["source"] == str(packed)
    assert (stated["plan"], stated["weight"], stated["temperature"]) == (
        "0-3:adapter(double_seq_bn,r=12)",
        2.0,
        4.0,
    )
    told = cli(*common, "--teacher", tiny_run, "--output", tmp_path / "told")
    assert told.status == 0, told.stderr
    assert f"{tiny_run} (0-3:adapter" in told.stdout.replace("\n", "")
    compared = cli("compare", tmp_path / "run", tmp_path / "told", "--format", "json")
    assert compared.stdout.count("teacher=(0-3:adapter(double_seq_bn,r=12) ") >= 2
    assert "weight 2, T 4)" in compared.stdout
    for arguments, word in (
        (("--temperature", "2"), "There is no teacher"),
        (("--teacher", tmp_path / "nowhere"), "no finished run"),
        ((*with_it, "--temperature", "0"), "out of range"),
    ):
        refused = cli(*common, *arguments, "--output", tmp_path / "refused")
        assert refused.status == 2
        assert word in refused.stderr
        assert not (tmp_path / "refused").exists()


def test_packages_are_fused(cli, packed, tiny_run, tiny_backbone, tmp_path):
    common = ("--backbone", tiny_backbone, "--data", "sample", "--epochs", "1")
    few = ("--limit-train", "8", "--json", "--output", tmp_path / "run")
    both = ("--fuse", packed, "--fuse", tiny_run)
    tuned = cli("tune", "--task", "bc5cdr", *both, *common, *few)
    assert tuned.status == 0, tuned.stderr
    assert tuned.json["plan"] == "0-3:fuse(double_seq_bn,r=12,n=2)"
    assert len(tuned.json["fused"]) == 2
    assert cli("share", "pack", tmp_path / "run", "--output", tmp_path / "one").status == 0
    scored = cli("evaluate", tmp_path / "one", "--backbone", tiny_backbone, "--json")
    assert scored.json["metrics"] == tuned.json["metrics"]["test"]
    for wrong, told in (
        (("--fuse", packed), "single adapter"),
        ((*both, "--mode", "full"), "decide the plan"),
        ((*both, "--from", packed), "leave --mode"),
        (("--mode", "fuse"), "which adapters are fused"),
        ((*both[:3], tmp_path / "nowhere"), "nowhere"),
    ):
        outcome = cli("tune", "--task", "bc5cdr", *wrong, *common, "--output", tmp_path / "new")
        assert outcome.status == 2, wrong
        assert told in outcome.stderr
        assert not (tmp_path / "new").exists()


def test_a_package_is_stacked_on(cli, packed, tiny_run, tiny_backbone, tmp_path):
    common = ("--backbone", tiny_backbone, "--data", "sample", "--epochs", "1")
    few = ("--limit-train", "8", "--json", "--output", tmp_path / "run")
    tuned = cli("tune", "--task", "ncbi_disease", "--stack", packed, *common, *few)
    assert tuned.status == 0, tuned.stderr
    assert tuned.json["plan"] == "0-3:stack(double_seq_bn,r=12)"
    assert [each["task"] for each in tuned.json["stacked"]] == ["bc5cdr"]
    package = tmp_path / "one"
    assert cli("share", "pack", tmp_path / "run", "--output", package).status == 0
    assert cli("share", "verify", package).status == 0
    scored = cli("evaluate", package, "--backbone", tiny_backbone, "--json")
    assert scored.json["metrics"] == tuned.json["metrics"]["test"]
    text = (package, "--backbone", tiny_backbone, "--format", "json")
    predicted = cli("predict", "--adapter", *text, stdin=b"Ovarian cancer was treated.")
    assert predicted.status == 0, predicted.stderr
    compared = cli("compare", tmp_path / "run", "--format", "csv")

    assert "stack(double_seq_bn,r=12)" in compared.stdout
    for wrong, told in (
        (("--mode", "full"), "decide the plan"),
        (("--plan", "seq_bn"), "decide the plan"),
        (("--steps", "1"), "decide the plan"),
        (("--from", packed), "leave --mode"),
        (("--fuse", packed, "--fuse", tiny_run), "decide the plan"),
        (("--stack", tmp_path / "nowhere"), "nowhere"),
        (("--stack", package), "can be stacked on"),
        (("--backbone", "bundled"), "another backbone"),
    ):
        stack = () if "--stack" in wrong else ("--stack", packed)
        outcome = cli(
            "tune", "--task", "bc5cdr", *stack, *common, *wrong, "--output", tmp_path / "new"
        )
        assert outcome.status == 2, wrong
        assert told in outcome.stderr, (wrong, outcome.stderr)
        assert not (tmp_path / "new").exists()


def test_an_archive_that_is_there_is_left_alone(cli, tiny_run, tmp_path):
    (tmp_path / "package.zip").write_bytes(b"mine")
    outcome = cli("share", "pack", tiny_run, "--output", tmp_path / "package", "--zip")
    assert outcome.status == 2
    assert "package.zip" in outcome.stderr
    assert (tmp_path / "package.zip").read_bytes() == b"mine"
    assert not (tmp_path / "package").exists()
