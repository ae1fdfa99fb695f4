from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from adapterkit.backbones.loading import load_backbone
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import Interrupted
from adapterkit.runs.progress import Silence
from adapterkit.students import loop
from adapterkit.students.distil import Distilled, distil, resume_distillation
from adapterkit.students.inputs import open_inputs
from adapterkit.students.recipe import Recipe
from adapterkit.students.session import Session, begin
from tests.students.conftest import WORDS


class Recorder(Silence):
    """Keeps what it is told, and asks for a stop after a number of updates."""

    def __init__(self, stop_after: int | None = None, phase: str = "distilling") -> None:
        self.said: list[str] = []
        self.phases: list[str] = []
        self._updates, self._stop_after, self._phase = 0, stop_after, phase

    def begin(self, phase: str, total: int | None = None) -> None:
        self.phases.append(phase)

    def say(self, message: str) -> None:
        self.said.append(message)

    def advance(self, units: int = 1, **measures: float) -> None:
        # The first call of the phase tells what was done before.
        self._updates += self.phases[-1] == self._phase
        if self._stop_after is not None and self._updates == self._stop_after + 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def teacher_folder(tokenizer: BertTokenizerFast, tmp_path: Path) -> Path:
    """A BERT of three layers with a masked-LM head."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    folder = tmp_path / "teacher"
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def values(teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A recipe for a few updates, in which every term counts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = random.Random(0)
    documents = [" ".join(rng.choices(WORDS, k=rng.randint(20, 90))) for _ in range(40)]
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(documents), encoding="utf-8")
    return {
        "name": "tiny",
        "teacher": str(teacher_folder),
        "student": {"embedding_size": 8, "layerwise": {"reduction_factor": 8}},
        "objective": {"embedding": 1},
        "corpus": {"files": [str(text)], "window": 32, "held_out": 0.1},
        "training": {"tokens": 1500, "learning_rate": 0.002, "batch_tokens": 128},
        "evaluation": {"every_tokens": 500},
    }


def _recipe(values: dict[str, Any], **training: Any) -> Recipe:
    return Recipe.model_validate({**values, "training": {**values["training"], **training}})


def _session(recipe: Recipe) -> Session:
    inputs = open_inputs(recipe, Silence())
    return begin(inputs, inputs.teacher, Silence())


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_backbone(path).model.state_dict())


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def whole(values: dict[str, Any], tmp_path: Path) -> Distilled:
    return distil(_recipe(values), tmp_path / "whole", command="adapterkit distill tiny.yaml")


def test_a_distillation_leaves_a_backbone_with_a_card(
    whole: Distilled, values: dict[str, Any]
) -> None:
    backbone = load_backbone(whole.path)
    assert (backbone.steps, backbone.hidden_size, backbone.has_layerwise) == (3, 32, True)
    blocks = backbone.model.albert.encoder.blocks()
    assert all(b.attention.query.weight is blocks[0].attention.query.weight for b in blocks)
    card = whole.card
    assert card == json.loads((whole.path / "card.json").read_text(encoding="utf-8"))
    assert card["tokens_seen"] >= 1500
    assert [point["tokens"] // 500 for point in card["curve"]] == [1, 2, 3]
    assert card["scores"] == card["curve"][-1]
    assert len(card["scores"]["cosines"]) == 3
    assert card["scores"]["perplexity"] > 1
    assert card["corpus"][0]["file"] == "text.txt"
    assert card["command"] == "adapterkit distill tiny.yaml"
    assert card["fingerprint"] == backbone.fingerprint
    own = sum(p.numel() for p in backbone.model.parameters())
    assert card["parameters"] == own
    assert 0 < card["throughput"]["fraction"] < 1
    assert {entry.name for entry in whole.path.iterdir()} >= {"config.json", "log.jsonl"}
    assert not (whole.path / "checkpoints").exists()
    assert not (whole.path / "state.json").exists()


def test_the_student_comes_nearer_to_its_teacher(values: dict[str, Any], tmp_path: Path) -> None:
    values["objective"] = {"masked_lm": 0, "attention": 0, "output": 0, "hidden": 1, "embedding": 1}
    done = distil(_recipe(values, tokens=6000, learning_rate=0.01), tmp_path / "run")
    first, last = done.card["curve"][0], done.card["curve"][-1]
    assert all(b > a for a, b in zip(first["cosines"], last["cosines"], strict=True))
    assert "perplexity" not in last


def test_a_start_fitted_to_the_text_is_nearer(values: dict[str, Any]) -> None:
    values["objective"] = {"masked_lm": 0, "attention": 0, "output": 0, "hidden": 1, "embedding": 1}

    def first_loss(**changes: Any) -> float:
        student = {**values["student"], **changes}
        session = _session(Recipe.model_validate({**values, "student": student}))
        batch = next(session.batches(0))
        return float(session.plain_terms(batch)["loss"].detach())

    relaxed = {"relaxed": {"rank": 4}}
    assert first_loss(fit="text") < first_loss()
    assert first_loss(fit="text", **relaxed) < first_loss()
    # A block that starts at random has no matrices to fit; its tables are.
    assert first_loss(fit="text", start="random") != first_loss(start="random")


def test_a_stopped_distillation_ends_with_the_same_weights(
    whole: Distilled, values: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "stopped"
    with pytest.raises(Interrupted, match=str(path)):
        distil(_recipe(values), path, progress=Recorder(3))
    with pytest.raises(Interrupted, match=str(path)):
        resume_distillation(path, progress=Recorder(5))
    assert not (path / "config.json").exists()
    resumed = resume_distillation(path)
    assert _equal(_weights(whole.path), _weights(path))
    assert resumed.card["curve"] == whole.card["curve"]
    assert resumed.card["tokens_seen"] == whole.card["tokens_seen"]


def test_a_killed_distillation_ends_with_the_same_weights(
    whole: Distilled, values: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "killed"
    recipe = _recipe(values, checkpoint_minutes=1e-9)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    code = f"""
import os, signal
from pathlib import Path
from adapterkit.students import loop
from adapterkit.students.distil import distil
from adapterkit.students.recipe import Recipe

write = loop.write_checkpoint
def killed(folder, update, content):
    if update == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, update, content)
loop.write_checkpoint = killed
recipe = Recipe.model_validate_json(Path({str(tmp_path / "recipe.json")!r}).read_text())
distil(recipe, Path({str(path)!r}))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (path / "checkpoints" / "checkpoint-5.pt").exists()
    resume_distillation(path)
    assert _equal(_weights(whole.path), _weights(path))


def test_one_killed_before_its_first_checkpoint_begins_anew(
    whole: Distilled, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("killed")

    path = tmp_path / "early"
    with monkeypatch.context() as patched:
        patched.setattr(loop, "write_checkpoint", fail)
        with pytest.raises(RuntimeError):
            distil(_recipe(values), path)
    resume_distillation(path)
    assert _equal(_weights(whole.path), _weights(path))


def test_a_stop_while_the_teacher_learns_loses_nothing(
    values: dict[str, Any], tmp_path: Path
) -> None:
    values["teacher_training"] = {"tokens": 800, "learning_rate": 0.01, "batch_tokens": 128}
    whole, path = distil(_recipe(values), tmp_path / "whole"), tmp_path / "stopped"
    with pytest.raises(Interrupted):
        distil(_recipe(values), path, progress=Recorder(3, "training the teacher"))
    assert (path / "checkpoints" / "teacher" / "checkpoint-3.pt").exists()
    with pytest.raises(Interrupted):
        resume_distillation(path, progress=Recorder(4))
    resumed = resume_distillation(path)
    assert _equal(_weights(whole.path), _weights(path))
    assert resumed.card["teacher"] == whole.card["teacher"]
    assert whole.card["teacher"]["perplexity"] < len(WORDS) + 5
    assert whole.card["curve"] == resumed.card["curve"]


def test_what_was_distilled_is_not_overwritten(whole: Distilled, values: dict[str, Any]) -> None:
    before = (whole.path / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="finished backbone"):
        distil(_recipe(values), whole.path)
    assert resume_distillation(whole.path).card == whole.card
    assert (whole.path / "model.safetensors").read_bytes() == before


def test_a_changed_recipe_or_corpus_is_not_resumed(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        distil(_recipe(values), path, progress=Recorder(2))
    with pytest.raises(UserError, match="unfinished"):
        distil(_recipe(values), path)
    with pytest.raises(UserError, match=r"training\.learning_rate: 0\.1"):
        resume_distillation(path, _recipe(values, learning_rate=0.1))
    text = Path(values["corpus"]["files"][0])
    text.write_text(text.read_text(encoding="utf-8") + " pain", encoding="utf-8")
    with pytest.raises(UserError, match=r"corpus\.text\.txt"):
        resume_distillation(path)
    with pytest.raises(UserError, match="no unfinished run"):
        resume_distillation(tmp_path / "nowhere")


def test_a_gpu_out_of_memory_says_what_to_lower(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Session, "terms", exhausted)
    with pytest.raises(UserError, match=r"training\.batch_tokens=64") as error:
        distil(_recipe(values), tmp_path / "run")
    assert "128 word pieces" in str(error.value)


def test_a_diverging_distillation_is_ended(values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.learning_rate"):
        distil(_recipe(values, learning_rate=1e30), tmp_path / "run")


def test_every_evaluation_probes_the_tasks_that_are_named(
    values: dict[str, Any], tmp_path: Path, entities: Path, labels: Path
) -> None:
    values["evaluation"] = {"every_tokens": 1000, "probe": [str(entities), str(labels)]}
    recorder, path = Recorder(), tmp_path / "run"
    card = distil(_recipe(values), path, progress=recorder).card
    assert len(card["curve"]) == 2
    for measures in card["curve"]:
        assert list(measures["probes"]) == ["entities", "labels"]
        assert all(0 < value <= 1 for value in measures["probes"].values())
        assert measures["probe_data"] == {"entities": "dir", "labels": "dir"}
    assert card["scores"] == card["curve"][-1]
    logged = [json.loads(line) for line in (path / "log.jsonl").read_text("utf-8").splitlines()]
    evaluations = [record for record in logged if record.get("event") == "evaluation"]
    assert [record["probes"] for record in evaluations] == [m["probes"] for m in card["curve"]]
    last = card["scores"]["probes"]
    said = f"probes entities {last['entities']:.4f}  labels {last['labels']:.4f}"
    assert any(message.endswith(said) for message in recorder.said)


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("objective", {"output": 5}, "objective.output"),
        ("corpus", {"window": 4096}, "corpus.window"),
        ("evaluation", {"probe": ["bc5cdr", "hok"]}, "did you mean hoc?"),
        ("layers", [1, 2, 9], "layers, recursion step 2"),
        ("student", {"steps": 2, "start": "layer:7"}, "7"),
    ],
)
def test_recipes_that_the_teacher_cannot_serve_leave_nothing(
    values: dict[str, Any], tmp_path: Path, section: str, change: Any, expected: str
) -> None:
    headless = Path(values["teacher"])
    model = BertForMaskedLM.from_pretrained(headless)
    bare = tmp_path / "bare"
    model.bert.save_pretrained(bare)
    BertTokenizerFast.from_pretrained(headless).save_pretrained(bare)
    values |= {"teacher": str(bare), "objective": {"output": 0}}
    values[section] = {**values.get(section, {}), **change} if section != "layers" else change
    with pytest.raises(UserError) as error:
        distil(_recipe(values), tmp_path / "run")
    assert expected in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_share_a_distillation(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "shared"
    file = tmp_path / "recipe.json.yaml"
    file.write_text(_recipe(values).model_dump_json(), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = ["-m", "adapterkit", "distill", str(file), "--output", str(path), "--json"]
    ended = subprocess.run(
        [sys.executable, *launcher, *command], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    card = json.loads(ended.stdout)
    assert card["throughput"]["processes"] == 2
    assert card["tokens_seen"] / card["updates"] > 128
    assert load_backbone(path).fingerprint == card["fingerprint"]


def test_the_log_tells_the_speed_and_every_term(whole: Distilled) -> None:
    records = [
        json.loads(line) for line in (whole.path / "log.jsonl").read_text("utf-8").splitlines()
    ]
    updates = [record for record in records if "loss" in record]
    assert updates
    terms = {"masked_lm", "attention", "hidden", "output", "embedding"}
    assert all(terms <= set(record) for record in updates)
    assert all(record["tokens_per_second"] > 0 for record in updates)
    assert [record["tokens"] for record in updates] == sorted(r["tokens"] for r in updates)


@pytest.mark.slow
def test_a_compiled_student_learns_the_same(values: dict[str, Any]) -> None:
    values["objective"] = {"masked_lm": 0, "attention": 0, "output": 0, "hidden": 1}
    plain = _session(_recipe(values))
    compiled = _session(_recipe(values, compile=True))
    batch = next(plain.batches(0))
    expected, found = plain.terms(batch, 0)["loss"], compiled.terms(batch, 0)["loss"]
    assert compiled.compiled
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert plain.plain.state_dict().keys() == compiled.plain.state_dict().keys()


def test_bfloat16_computes_nearly_the_same(values: dict[str, Any]) -> None:
    plain = _session(_recipe(values))
    expected = plain.terms(next(plain.batches(0)), 0)["loss"]
    lower = _session(_recipe(values, precision="bfloat16"))
    found = lower.terms(next(lower.batches(0)), 0)["loss"]
    assert found.dtype == torch.float32
    assert found != expected
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.0)
    assert all(p.dtype == torch.float32 for p in lower.plain.parameters())
