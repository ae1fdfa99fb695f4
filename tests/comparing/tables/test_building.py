from __future__ import annotations

import json

import pytest

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.records.reading import read_runs
from adapterkit.comparing.tables.building import build_tables
from adapterkit.comparing.tables.row import Inference
from adapterkit.runs.errors import UserError
from tests.comparing.made import edit, make_run

DRAWS = 500


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three rows: full, one as good as it, and one that is far worse."""
    folder = tmp_path_factory.mktemp("runs")
    skills = {"full": 0.85, "layerwise": 0.84, "adapter(lora,r=4)": 0.4}
    for plan, skill in skills.items():
        for seed in range(3):
            make_run(folder / f"{plan[:4]}-{seed}", f"0-5:{plan}", seed, skill=skill)
    return folder


@pytest.fixture(scope="module")
def table(runs):
    (table,) = build_tables(*read_runs([runs]), draws=DRAWS)
    return table


def row_of(table, plan):
    (row,) = (row for row in table.rows if plan in row.plan)
    return row


def test_a_row_is_a_plan_over_its_seeds(table):
    row = row_of(table, "full")
    assert row.seeds == (0, 1, 2)
    assert [run.manifest.seed for run in row.runs] == [0, 1, 2]
    assert row.scores == tuple(run.manifest.metrics["test"]["score"] for run in row.runs)
    assert row.score.mean == pytest.approx(sum(row.scores) / 3)
    assert row.train_seconds.mean == pytest.approx(11)
    assert row.train_seconds.sd == pytest.approx(1)
    assert (row.task_parameters, row.head_parameters, row.trainable) == (1000, 10, 1010)
    assert row.share == pytest.approx(1010 / 1200)
    assert row.inference is None


def test_differences_are_to_full(table):
    assert table.reference == "0-5:full"
    full, like, worse = (row_of(table, plan) for plan in ("full", "layerwise", "lora"))
    assert full.difference is full.p_holm is full.aso_epsilon is None
    for row in (like, worse):
        assert row.difference.mean == pytest.approx(row.score.mean - full.score.mean)
    assert worse.p_holm == pytest.approx(min(1, 2 * worse.difference.p))
    assert worse.p_holm < 0.01
    assert worse.aso_epsilon == 1
    assert like.p_holm > 0.05


def test_a_tie_at_the_top_has_no_best_row(table):
    assert not any(row.best for row in table.rows)
    assert any("No score is bold" in note for note in table.notes)


def test_a_row_that_beats_all_others_is_best(tmp_path, runs):
    for seed in range(3):
        make_run(tmp_path / str(seed), "0-5:untied", seed, skill=0.995)
    (table,) = build_tables(*read_runs([runs, tmp_path]), draws=DRAWS)
    assert [row.plan for row in table.rows if row.best] == ["0-5:untied"]
    assert any("Bold: significantly better" in note for note in table.notes)


def test_dev_can_be_compared_instead(runs):
    (table,) = build_tables(*read_runs([runs]), split="dev", draws=DRAWS)
    row = row_of(table, "full")
    assert row.scores == tuple(run.manifest.metrics["dev"]["score"] for run in row.runs)
    assert table.split == "dev"


def test_another_reference(runs):
    (table,) = build_tables(*read_runs([runs]), draws=DRAWS, reference="layerwise")
    assert table.reference == "0-5:layerwise"
    assert row_of(table, "full").difference is not None
    assert row_of(table, "layerwise").difference is None


def test_a_reference_that_no_run_has(runs):
    with pytest.raises(UserError, match="No run has the plan") as error:
        build_tables(*read_runs([runs]), draws=DRAWS, reference="ia3")
    assert "0-5:layerwise" in str(error.value)


def test_a_reference_that_is_no_plan(runs):
    with pytest.raises(UserError) as error:
        build_tables(*read_runs([runs]), draws=DRAWS, reference="nonsense")
    assert "--reference" in str(error.value)


def test_without_full_there_are_no_differences(tmp_path):
    make_run(tmp_path / "one", "0-5:layerwise")
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert table.reference is None
    assert any(note.startswith("No row is the reference") for note in table.notes)


def test_other_learning_rates_are_another_row(tmp_path):
    rates = {"epochs": 3, "learning_rates": {"full": 1e-3, "head": 1e-3}}
    make_run(tmp_path / "one", seed=0, skill=0.7)
    make_run(tmp_path / "other", seed=0, skill=0.9, hyperparameters=rates)
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert {row.settings for row in table.rows} == {
        "learning_rates.full=0.0003, learning_rates.head=0.002",
        "learning_rate=0.001",
    }
    # The reference is the one that is better on dev.
    by_reference = {row.difference is None: row for row in table.rows}
    assert by_reference[True].settings == "learning_rate=0.001"


def test_another_precision_is_another_row(tmp_path):
    make_run(tmp_path / "older", seed=0, skill=0.7)
    content = json.loads((tmp_path / "older" / "run.json").read_text())["hyperparameters"]
    assert "precision" not in content
    make_run(tmp_path / "other", seed=0, hyperparameters={**content, "precision": "bf16"})
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert {row.settings for row in table.rows} == {"precision=float32", "precision=bf16"}


def test_runs_with_a_teacher_are_another_row_and_no_reference(tmp_path):
    teacher = {"plan": "0-5:full", "sha256": "ab" * 32, "weight": 1.0, "temperature": 2.0}
    for seed in range(2):
        make_run(tmp_path / f"alone-{seed}", seed=seed, skill=0.7)
        make_run(tmp_path / f"taught-{seed}", seed=seed, skill=0.9, teacher=teacher)
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    alone, taught = sorted(table.rows, key=lambda row: row.score.mean)
    assert alone.settings == "teacher=none"
    assert taught.settings == "teacher=(0-5:full abababab, T 2)"
    assert alone.difference is None
    assert taught.difference.mean == pytest.approx(taught.score.mean - alone.score.mean)
    assert any("fine-tuned teacher" in note and "2 runs of 4" in note for note in table.notes)


def test_no_folder_of_this_machine_is_in_a_table(tmp_path):
    folders = {"sha256:aa": "/somebody/a/student", "sha256:bb": "/somebody/b/student"}
    for seed, (fingerprint, folder) in enumerate(folders.items()):
        run = make_run(tmp_path / str(seed), seed=seed)
        backbone = {"id": folder, "fingerprint": fingerprint, "steps": 6}
        data = json.loads((run / "run.json").read_text())["data"]
        data = {**data, "location": "/somebody/corpora/made"}
        edit(run, seal=True, backbone=backbone, data=data)
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS, allow=("backbone",))
    assert {row.backbone for row in table.rows} == {"student (aa)", "student (bb)"}
    assert table.data.startswith(f"{data['source']}: made (test ")
    (alone,) = build_tables(*read_runs([tmp_path / "0"]), draws=DRAWS)
    assert {row.backbone for row in alone.rows} == {"student"}


def test_other_teachers_are_other_rows(tmp_path):
    for number in range(2):
        teacher = {"plan": "0-5:full", "sha256": f"{number}" * 64, "weight": 1, "temperature": 1}
        make_run(tmp_path / f"taught-{number}", seed=number, teacher=teacher)
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert len(table.rows) == 2
    assert table.reference == "0-5:full"


def test_stacks_on_another_task_are_another_row(tmp_path):
    for seed, task in enumerate(("bc5cdr", "bc5cdr", "ncbi_disease")):
        run = make_run(tmp_path / str(seed), "0-5:stack(seq_bn,r=4)", seed)
        edit(run, seal=True, stacked=[{"task": task, "sha256": "0" * 64}])
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert {(row.plan, row.settings, row.seeds) for row in table.rows} == {
        ("0-5:stack(seq_bn,r=4)", "stacked=bc5cdr", (0, 1)),
        ("0-5:stack(seq_bn,r=4)", "stacked=ncbi_disease", (2,)),
    }


def test_one_seed_has_neither_spread_nor_stochastic_order(tmp_path):
    make_run(tmp_path / "full", "0-5:full")
    make_run(tmp_path / "other", "0-5:layerwise")
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    row = row_of(table, "layerwise")
    assert (row.score.sd, row.aso_epsilon) == (None, None)
    assert row.difference is not None
    assert any("1 seed: a measurement" in note for note in table.notes)


def test_runs_on_another_test_split_have_no_difference(tmp_path):
    make_run(tmp_path / "full", "0-5:full")
    splits = {
        name: {"sha256": f"other-{name}", "examples": 36} for name in ("train", "dev", "test")
    }
    content = {"source": "dir", "location": "elsewhere", "splits": splits}
    run = make_run(tmp_path / "other", "0-5:layerwise")
    edit(run, seal=True, data=content)
    records, left_out = read_runs([tmp_path])
    with pytest.raises(UserError, match="cannot share a table"):
        build_tables(records, left_out, draws=DRAWS)
    (table,) = build_tables(records, left_out, draws=DRAWS, allow=["split"])
    assert row_of(table, "layerwise").difference is None
    assert row_of(table, "layerwise").settings.startswith("splits=dev other-de/36")
    assert any("Not on the reference's documents" in note for note in table.notes)


def test_protocols_that_may_be_mixed_are_rows_of_their_own(tmp_path):
    make_run(tmp_path / "word", "0-5:full", seed=0)
    make_run(tmp_path / "pieces", "0-5:full", seed=0, protocol="nlpie")
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS, allow=["protocol"])
    assert {row.settings for row in table.rows} == {"protocol=word", "protocol=nlpie"}
    assert not any(row.difference or row.best for row in table.rows)


def test_measured_inference_is_read(tmp_path):
    run = make_run(tmp_path / "run")
    measured = {"p50_ms": 4.0, "p95_ms": 6.0, "tokens_per_second": 900.0, "peak_bytes": 1}
    setup = {"batch_tokens": 4096, "threads": 2}
    (run / "inference.json").write_text(json.dumps({**measured, **setup}))
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert table.rows[0].inference == Inference(4.0, 6.0, 900.0, 4096, 2)
    assert any("2 threads, batches of 4,096 word pieces" in note for note in table.notes)


def test_damaged_measurements_are_no_measurements(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "inference.json").write_text('{"p50_ms": ')
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert table.rows[0].inference is None


def test_each_task_has_a_table_and_what_is_left_out_of_it(tmp_path):
    make_run(tmp_path / "one", task="one")
    make_run(tmp_path / "two", task="two")
    gone = [
        LeftOut(tmp_path / "a", "edited", "one"),
        LeftOut(tmp_path / "b", "damaged"),
        LeftOut(tmp_path / "c", "edited", "a task without a table"),
    ]
    records, _ = read_runs([tmp_path])
    one, two = build_tables(records, gone, draws=DRAWS, notes=["nine trials"])
    assert (one.task, two.task) == ("one", "two")
    assert list(one.left_out) == gone
    assert list(two.left_out) == gone[1:]
    assert one.notes[0] == two.notes[0] == "nine trials"


def test_the_sample_is_said_to_be_one(tmp_path):
    make_run(tmp_path / "one", data="sample")
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    assert table.data == "the built-in sample"
    assert any("built-in sample" in note for note in table.notes)


def test_notes_tell_what_a_reader_must_know(tmp_path):
    slow = {"cpu": "slow", "cores": 1}
    timings = {"train_seconds": 9.0, "evaluate_seconds": 1.0, "cache_seconds": 30.0}
    make_run(tmp_path / "one", "0-5:full", seed=0, seal=False, notes=["profiled"])
    make_run(tmp_path / "two", "0-5:layerwise", seed=1, hardware=slow, timings=timings)
    (table,) = build_tables(*read_runs([tmp_path]), draws=DRAWS)
    said = "\n".join(table.notes)
    assert "1 run not sealed" in said
    assert "different hardware: 1 core of slow; 2 cores of made-up, 1 thread." in said
    assert "up to 30 s" in said
    assert "profiled (1 of 2 runs)." in said
    assert "Not every row has the same seeds." in said
    assert "over 12 documents (500 draws" in said
