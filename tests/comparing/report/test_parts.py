from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.comparing.ablating.ablation import (
    Ablation,
    RunId,
    Score,
    StepScore,
    Swap,
    save_ablation,
)
from adapterkit.comparing.records.record import Prediction, RunRecord
from adapterkit.comparing.report.curves import curves
from adapterkit.comparing.report.fronts import fronts
from adapterkit.comparing.report.mistakes import mistakes
from adapterkit.comparing.report.sentences import mark
from adapterkit.comparing.report.series import series_of
from adapterkit.comparing.report.step_map import step_map
from adapterkit.comparing.tables.table import Table
from adapterkit.runs.hashing import sha256_file
from tests.comparing.making import record, row, table, write_log


def one_row(runs: list[RunRecord], tmp_path: Path) -> Table:
    return table(tmp_path / "others", rows=(row(runs),))


def ablation_of(run: RunRecord, losses: list[float | None], **changes: object) -> Ablation:
    whole = Score(score=0.8, per_type={})
    steps = [
        StepScore(
            step=step,
            mechanism="full",
            removed="the pretrained block again",
            result=None if lost is None else Score(score=0.8 - lost, per_type={}),
        )
        for step, lost in enumerate(losses)
    ]
    values = {
        "run": RunId(
            path=str(run.path),
            sha256=sha256_file(run.path / "run.json"),
            plan=run.manifest.plan,
            seed=run.manifest.seed,
        ),
        "task": "bc5cdr",
        "split": "dev",
        "protocol": "word",
        "metric": "strict_f1",
        "data": {"same_as_run": True},
        "whole": whole,
        "steps": tuple(steps),
    }
    return Ablation.model_validate({**values, **changes})


def test_the_step_map_shows_what_each_step_is_worth(tmp_path: Path) -> None:
    plan = "0:frozen 1:adapter(lora) 2:full"
    runs = [record(tmp_path / str(seed), plan=plan, seed=seed) for seed in (0, 1, 2)]
    save_ablation(ablation_of(runs[0], [None, 0.1, 0.3]), runs[0].path / "ablation.json")
    save_ablation(ablation_of(runs[1], [None, -0.3, 0.5]), runs[1].path / "ablation.json")
    (series,) = series_of([one_row(runs, tmp_path)])
    found = step_map(series)
    (steps,) = found.rows
    assert [cell.short for cell in steps.cells] == ["frozen", "lora", "full"]
    assert [cell.lost for cell in steps.cells] == [None, pytest.approx(-0.1), pytest.approx(0.4)]
    assert (steps.ablated, steps.split, found.notes) == (2, "dev", ())
    assert found.deepest == pytest.approx(0.4)


def test_ablations_of_other_runs_and_data_are_left_out(tmp_path: Path) -> None:
    first, second, third = (record(tmp_path / str(seed), seed=seed) for seed in (0, 1, 2))
    save_ablation(ablation_of(second, [0.1, 0.1, 0.1]), first.path / "ablation.json")
    other = ablation_of(second, [0.1, 0.1, 0.1], data={"same_as_run": False})
    save_ablation(other, second.path / "ablation.json")
    (third.path / "ablation.json").write_text("{}", encoding="utf-8")
    (series,) = series_of([one_row([first, second, third], tmp_path)])
    found = step_map(series)
    assert found.rows[0].ablated == 0
    for note, words in zip(found.notes, ("another run", "other data", "damaged"), strict=True):
        assert words in note


def test_swapped_runs_are_drawn(tmp_path: Path) -> None:
    run = record(tmp_path / "run")
    made = ablation_of(run, [0.1, 0.2, 0.3])
    results = tuple(Score(score=score, per_type={}) for score in (0.7, 0.2, 0.4, 0.8))
    swap = Swap(other=made.run.model_copy(update={"plan": "0-2:full"}), results=results)
    save_ablation(made.model_copy(update={"swap": swap}), run.path / "ablation.json")
    (series,) = series_of([one_row([run], tmp_path)])
    ((words, drawn),) = step_map(series).swaps
    assert "0-2:full, seed 0, from k on" in words
    assert drawn.startswith("<svg")


def test_learning_curves_are_means_over_epochs_that_all_seeds_reached(tmp_path: Path) -> None:
    runs = [record(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    write_log(runs[0], {1.0: 0.1, 2.0: 0.5, 3.0: 0.9})
    write_log(runs[1], {1.0: 0.3, 2.0: 0.7})
    with (runs[1].path / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"eval_score": 0.9, "ep')
    made = one_row(runs, tmp_path)
    (series,) = series_of([made])
    found = curves(made, series)
    ((_, epochs, best, at),) = found.ends
    assert (epochs, best, at) == (2, pytest.approx(0.6), 2)
    assert found.cut == pytest.approx(0.3)
    assert found.missing == ()


def test_costs_that_no_axis_can_hold_are_named(tmp_path: Path) -> None:
    made = table(tmp_path, rows=(row([record(tmp_path / "run")], shipped_bytes=0),))
    (series,) = series_of([made])
    parameters, shipped, _, latency = fronts(made, series)
    assert parameters.drawing
    assert not parameters.missing
    for each in (shipped, latency):
        assert (each.drawing, each.missing) == ("", ("0-2:full",))


def test_confusions_are_means_of_the_seeds(tmp_path: Path) -> None:
    runs = [record(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    made = one_row(runs, tmp_path)
    (series,) = series_of([made])
    found = mistakes(made, series, "t0-")
    (matrix,) = (each.confusions for each in found.rows)
    assert matrix.names == ("Chemical", "Disease")
    # True Chemical, Disease and nothing; taken for Chemical, Disease and nothing.
    assert matrix.rows == ((2.0, 1.0, 0.0), (0.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert matrix.most == 1.0
    assert found.seen == (2, 3)
    (first,) = found.rows
    assert (first.seen, first.unseen) == (0.5, pytest.approx(1 / 3))


def test_a_plan_looks_the_same_in_every_table(tmp_path: Path) -> None:
    first, second = table(tmp_path / "1"), table(tmp_path / "2", task="other")
    here, there = series_of([first, table(tmp_path / "3", rows=second.rows[::-1])])
    looks = {each.name: each.look for each in here}
    assert looks == {each.name: each.look for each in there}
    assert len(set(looks.values())) == len(looks)


WORDS = ("a", "b", "c", "d", "e", "f")
SPANS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.sampled_from("XY")), max_size=3)


def without_overlaps(drawn: list[tuple[int, int, str]]) -> frozenset[tuple[int, int, str]]:
    kept: list[tuple[int, int, str]] = []
    for start, length, label in sorted(drawn):
        if start + length <= len(WORDS) and (not kept or start >= kept[-1][1]):
            kept.append((start, start + length, label))
    return frozenset(kept)


@given(SPANS, SPANS)
def test_marked_sentences_say_the_same_words(
    gold: list[tuple[int, int, str]], predicted: list[tuple[int, int, str]]
) -> None:
    true, found = without_overlaps(gold), without_overlaps(predicted)
    marked = mark(Prediction("1", "1", true, found, WORDS))
    assert " ".join(each.text for each in marked.stretches).split() == list(WORDS)
    ends = [end for each in marked.stretches for end in each.ends]
    assert len([end for end in ends if end[0] in ("correct", "gold")]) == len(true)
    assert len([end for end in ends if end[0] in ("correct", "predicted")]) == len(found)
    assert bool(marked.mistakes) == (true != found)
    for one, other in pairwise(marked.stretches):
        assert one.ends or (one.gold, one.predicted) != (other.gold, other.predicted)


def test_a_sentence_without_words(tmp_path: Path) -> None:
    assert mark(Prediction("1", "1", frozenset(), frozenset(), ())).stretches == ()
    assert json.loads((record(tmp_path / "run").path / "run.json").read_text())["task"] == "bc5cdr"
