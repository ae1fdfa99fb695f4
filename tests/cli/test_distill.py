from __future__ import annotations

import json
import random
import signal
import subprocess
import sys

import pytest

TEXT = "the drug caused renal failure in patients with asthma and aspirin reduced pain"
WORDS = TEXT.split()

RECIPE = """name: tiny
licence: CC0
teacher: {teacher}
student: {{embedding_size: 8, layerwise: {{reduction_factor: 8}}}}
objective: {{attention: 0, output: 0}}
corpus: {{files: [text.txt], licences: CC0, window: 32, held_out: 0.1}}
training: {{tokens: 1200, batch_tokens: 128, learning_rate: 2e-3}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe file beside a corpus, and a teacher that knows its words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("recipe")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder / "teacher")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "teacher")
    rng = random.Random(0)
    documents = [" ".join(rng.choices(WORDS, k=rng.randint(20, 90))) for _ in range(30)]
    (folder / "text.txt").write_text("\n\n".join(documents))
    path = folder / "tiny.yaml"
    path.write_text(RECIPE.format(teacher=folder / "teacher"))
    return path


def test_a_recipe_becomes_a_backbone(cli, recipe, tmp_path):
    done = cli("distill", recipe, "--output", tmp_path / "tiny")
    assert done.status == 0, done.stderr
    assert "cosine to the teacher" in done.stdout
    assert "held-out perplexity" in done.stdout
    assert f"--backbone {tmp_path / 'tiny'}" in done.stdout
    assert "word pieces  cosines" in done.stderr
    shown = cli("backbones", "show", tmp_path / "tiny", "--json")
    assert shown.json["steps"] == 2
    assert (
        shown.json["parameters"]
        == json.loads((tmp_path / "tiny/card.json").read_text())["parameters"]
    )


def test_probes_are_told_by_task(cli, recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("ADAPTERKIT_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = ("--set", "evaluation.probe=[ncbi_disease, hoc]", "--tokens", 300)
    done = cli("distill", recipe, *asked, "--output", tmp_path / "probed")
    assert done.status == 0, done.stderr
    probes = json.loads((tmp_path / "probed/card.json").read_text())["scores"]["probes"]
    for name in ("ncbi_disease", "hoc"):
        assert f"probe {name} (dev of the sample)" in done.stdout
        assert f"{name} {probes[name]:.4f} (sample)" in done.stderr
    done = cli("distill", recipe, "--set", "evaluation.probe=[hoc, hocs]")
    assert done.status == 2
    assert "did you mean hoc?" in done.stderr


def test_json_is_one_object_that_says_what_the_card_says(cli, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(
        "distill", recipe, "--json", "--tokens", 300,
        "--set", "training.seed=3", "--set", "objective.masked_lm=0", "--threads", 1,
    )  # fmt: skip
    assert done.status == 0, done.stderr
    card = json.loads((tmp_path / "runs" / "tiny" / "card.json").read_text())
    assert done.json == {**card, "path": "runs/tiny"}
    assert card["recipe"]["training"]["seed"] == 3
    assert card["recipe"]["training"]["tokens"] == 300
    assert "perplexity" not in card["scores"]
    assert str(recipe.parent) not in json.dumps(card)


def test_ctrl_c_leaves_a_distillation_that_can_be_resumed(cli, recipe, tmp_path):
    path = tmp_path / "run"
    arguments = ["distill", str(recipe), "--output", str(path), "--tokens", "2000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "adapterkit", *arguments, "--set", "evaluation.every_tokens=300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if "cosines" in line and len(said) < 8:
            process.send_signal(signal.SIGINT)
    assert process.stdout.read() == ""
    process.stderr.close()
    process.stdout.close()
    assert process.wait() == 130, "".join(said)
    assert f"adapterkit distill --resume --output {path}" in "".join(said)
    assert not any("Traceback" in line for line in said)

    anew = cli(*arguments)
    assert (anew.status, "--resume" in anew.stderr) == (2, True)
    other = cli(*arguments, "--resume")
    assert other.status == 2
    assert "evaluation.every_tokens" in other.stderr
    changed = cli("distill", "--resume", "--output", path, "--tokens", 5)
    assert changed.status == 2
    assert "as it was started" in changed.stderr


def test_a_finished_distillation_is_told_as_finished(cli, recipe, tmp_path):
    path = tmp_path / "run"
    first = cli("distill", recipe, "--output", path, "--tokens", 200, "--json")
    again = cli("distill", "--resume", "--output", path, "--json")
    assert again.json == first.json
    assert "finished already" in again.stderr
    taken = cli("distill", recipe, "--output", path)
    assert (taken.status, "finished backbone" in taken.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("RECIPE", "bundled")),
        (("bundeld",), ("did you mean bundled?",)),
        (("none.yaml",), ("none.yaml", "no such recipe file")),
        (("bundled", "--set", "training.tokens"), ("--set", "KEY=VALUE")),
        (("bundled", "--set", "training.token=5"), ("did you mean tokens?",)),
        (("bundled",), ("ADAPTERKIT_DATA", "--corpus")),
        (("bundled", "--corpus", "none.txt"), ("none.txt", "no such corpus file")),
        (("--resume",), ("--output",)),
        (("--resume", "--output", "nowhere"), ("nowhere", "no unfinished run")),
    ],
)
def test_mistakes_are_explained(cli, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    outcome = cli("distill", *arguments)
    assert outcome.status == 2
    assert all(word in outcome.stderr for word in words), outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("text.txt",)),
        (b"fine\n\nbad \xff byte\n\nmore\n", ("text.txt", "3")),
    ],
)
def test_a_corpus_that_is_no_text_is_told_by_file_and_line(cli, recipe, tmp_path, content, words):
    corpus = tmp_path / "text.txt"
    corpus.write_bytes(content)
    outcome = cli("distill", recipe, "--corpus", corpus, "--output", tmp_path / "run")
    assert outcome.status == 2
    assert all(word in outcome.stderr for word in words), outcome.stderr
    assert not (tmp_path / "run").exists()
