from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.plans.adapter_table import ADAPTER_SPECS
from adapterkit.plans.choice import FROZEN, Choice
from adapterkit.plans.options import Option, OptionValue
from adapterkit.plans.step_plan import Assignment, StepPlan
from adapterkit.runs.errors import UserError

ADAPTER = Choice("adapter", "double_seq_bn", (("r", 12),))


def values_of(option: Option) -> st.SearchStrategy[OptionValue]:
    if option.kind == "flag":
        return st.booleans()
    if option.kind == "name":
        return st.sampled_from(option.choices)
    if option.kind == "letters":
        letters = st.sets(st.sampled_from(option.choices), min_size=1)
        return letters.map(lambda chosen: "".join(c for c in option.choices if c in chosen))
    if option.kind in ("count", "offset"):
        return st.integers(1, 999)
    upper = 0.99 if option.kind == "fraction" else 1e6
    return st.floats(1e-6, upper, allow_nan=False).map(lambda x: int(x) if x == int(x) else x)


@st.composite
def adapter_choices(draw: st.DrawFn) -> Choice:
    spec = draw(st.sampled_from(sorted(ADAPTER_SPECS.values(), key=lambda spec: spec.name)))
    chosen = draw(st.sets(st.sampled_from([option.name for option in spec.options])))
    options = tuple((o.name, draw(values_of(o))) for o in spec.options if o.name in chosen)
    return Choice("adapter", spec.name, options)


CHOICES = st.one_of(
    st.sampled_from([Choice("layerwise"), Choice("full"), Choice("untied")]), adapter_choices()
)


@st.composite
def plan_texts(draw: st.DrawFn) -> tuple[str, list[Choice]]:
    """A plan's text with its clauses in any order, and the choice of each step."""
    choices = draw(st.lists(st.one_of(st.just(FROZEN), CHOICES), min_size=1, max_size=8))
    choices[draw(st.integers(0, len(choices) - 1))] = draw(CHOICES)
    clauses = [f"{step}:{choice}" for step, choice in enumerate(choices)]
    return " ".join(draw(st.permutations(clauses))), choices


@given(plan_texts())
def test_printed_plan_parses_back_to_an_equal_plan(case: tuple[str, list[Choice]]) -> None:
    text, choices = case
    plan = StepPlan.parse(text)
    assert StepPlan.parse(str(plan)) == plan
    assert StepPlan.parse(str(plan), len(choices)) == plan
    assert plan.resolve(len(choices)) == tuple(choices)


@given(plan_texts(), st.integers(2, 9))
def test_unnamed_steps_survive_printing(case: tuple[str, list[Choice]], extra: int) -> None:
    text, choices = case
    plan = StepPlan.parse(f"{text} rest:lora(r={extra})")
    assert StepPlan.parse(str(plan)) == plan
    resolved = plan.resolve(len(choices) + extra)
    assert resolved[len(choices) :] == (Choice("adapter", "lora", (("r", extra),)),) * extra


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("0-2:frozen 3-4:adapter(seq_bn,r=16) 5:full", None),
        ("0:lora 1:lora 2:frozen 3-5:lora", "0-1:adapter(lora) 2:frozen 3-5:adapter(lora)"),
        ("5:full\n0,1,2:frozen  3-4:adapter", "0-2:frozen 3-4:adapter(double_seq_bn,r=12) 5:full"),
        ("all:houlsby(reduction_factor=8.0)", "0-5:adapter(double_seq_bn,r=8)"),
        ("adapter( lora , attn = vq , r=4 )", "0-5:adapter(lora,r=4,attn_matrices=qv)"),
        ("3-5:adapter rest:frozen", "0-2:frozen 3-5:adapter(double_seq_bn,r=12)"),
        ("adapter()", "0-5:adapter(double_seq_bn,r=12)"),
        ("head", "head"),
        ("side", "0-5:side"),
        ("side()", "0-5:side"),
        ("side(dropout=0.1, reduction_factor=4)", "0-5:side(r=4,dropout=0.1)"),
        ("3:side rest:frozen 4-5:side", "0-2:frozen 3-5:side"),
    ],
)
def test_plans_for_six_steps(text: str, printed: str | None) -> None:
    assert str(StepPlan.parse(text, 6)) == (printed or text)


def test_assignments_are_runs_in_order() -> None:
    plan = StepPlan.parse("3:adapter 0-1:frozen 2:adapter")
    assert plan.assignments == (Assignment((0, 1), FROZEN), Assignment((2, 3), ADAPTER))
    assert plan.first_learning_step(4) == 2
    assert StepPlan.parse("head").first_learning_step(4) is None


def test_mode_and_steps_leave_the_others_frozen() -> None:
    plan = StepPlan.from_options("adapter", "3-5", total_steps=6)
    assert plan == StepPlan.parse("0-2:frozen 3-5:adapter")
    later = StepPlan.from_options("adapter", "3-5")
    assert later.for_steps(6) == plan
    assert StepPlan.parse(str(later)) == later
    assert str(StepPlan.from_options("lora(r=4)", "all")) == "adapter(lora,r=4)"
    assert StepPlan.from_options("head").resolve(3) == (FROZEN,) * 3


MISTAKES = [
    ("0-2:frozen 3-5:adaptor", "character 16", "did you mean 'adapter'"),
    ("0-2:frozen 3-5:adapter(seq_bm)", "character 24", "did you mean 'seq_bn'"),
    ("adapter(r=abc)", "character 9", "a number above 0"),
    ("adapter(r=nan)", "character 9", "a number above 0"),
    ("adapter(r=0)", "character 9", "a number above 0"),
    ("lora(r=2.5)", "character 6", "a whole number"),
    ("adapter(dropout=1)", "character 9", "not including, 1"),
    ("adapter(alpha=1)", "character 9", "r, non_linearity"),
    ("adapter(seq_bn,r)", "character 16", "NAME=VALUE"),
    ("adapter(seq_bn,r=4,reduction_factor=8)", "character 20", "given twice"),
    ("lora(attn=qz)", "character 6", "letters q, k, v"),
    ("loreft(prefix_positions=0)", "character 1", "suffix_positions"),
    ("0-6:adapter", "character 1", "recursion steps 0-5"),
    ("0-5:adapter 9:full", "character 13", "recursion steps 0-5"),
    ("0-3:adapter 3-5:frozen", "character 13", "step 3 has a mechanism already"),
    ("0-3:adapter all:frozen rest:full", "character 24", "twice"),
    ("0-2:frozen 4:adapter", "--plan", "3,5:frozen, or rest:frozen"),
    ("0-5:frozen", "--plan", "--mode head"),
    ("3-5:adapter lora", "character 13", "STEPS:MECHANISM"),
    ("5-3:lora", "character 1", "3-5"),
    ("1,1-3:lora", "character 3", "Step 1 is named twice"),
    ("x:lora", "character 1", "steps such as"),
    ("99999999999-99999999999:lora", "character 1", "0 to 999"),
    ("", "character 1", "empty"),
    ("adapter(", "character 1", "not closed"),
    ("adapter)", "character 8", "out of place"),
    ("0-5:adapter(seq_bn)x", "character 20", "Nothing may follow"),
    ("lora(r=4)(", "character 1", "not closed"),
    ("adapter(reduction=16)", "character 9", "did you mean 'r'"),
    ("adapter(non-linearity=relu)", "character 9", "did you mean 'non_linearity'"),
    ("lora(r=1_0)", "character 6", "a whole number"),
    ("lora(r=\uff14)", "character 6", "FULLWIDTH DIGIT FOUR"),
    ("lora(r=10001)", "character 6", "1 to 10000"),
    ("lora(alpha=1e7)", "character 6", "at most 1000000"),
    ("lora(alpha=-inf)", "character 6", "a number above 0"),
    ("adapter(scaling=0)", "character 9", "channel"),
    ("\u0663:full rest:frozen", "character 1", "ARABIC-INDIC DIGIT THREE"),
    ("0\u20132:frozen 3-5:full", "character 1", "U+2013 EN DASH"),
    ("0-2\uff1afrozen 3-5:full", "character 1", "FULLWIDTH COLON"),
    ("0-5:adapter\u200b", "character 5", "ZERO WIDTH SPACE"),
    ("0-2:frozen,3-5:full", "character 5", "put a space between"),
    ("0-2: frozen 3-5: full", "character 1", "no space between"),
    ("0 - 2:frozen 3-5:full", "character 1", "no space around the colon"),
    ("0-5:full:1", "character 5", "no colon"),
    ("-1:full rest:frozen", "character 1", "steps such as"),
    ("6:full rest:frozen", "character 1", "recursion steps 0-5"),
    ("0-5:", "character 1", "No mechanism"),
    ("0-5:head", "character 5", "linear probe"),
    ("0-5:full(r=1)", "character 5", "takes no arguments"),
    ("prompt_tuning", "character 1", "before the embeddings"),
    ("3:prompt_tuning rest:frozen", "character 3", "before the embeddings"),
    ("0-5:adapter(seq_bn_inv)", "character 13", "invertible"),
    ("0-5:adapter(double_seq_bn_inv)", "character 13", "invertible"),
    ("1-2:houlsby+inv rest:frozen", "character 5", "invertible"),
    ("vera", "character 1", "full matrices"),
    ("0-5:dvora", "character 5", "full matrices"),
    ("mtl_lora", "character 1", "task id"),
    ("side(x=1)", "character 6", "allowed: r, dropout"),
    ("side(r=0)", "character 6", "a number above 0"),
    ("side(lora)", "character 6", "NAME=VALUE with r, dropout"),
    ("side(r=4,r=8)", "character 10", "given twice"),
    ("0-2:side 3-5:lora", "--plan", "found: side, adapter(lora)"),
    ("0-4:side(r=4) 5:full", "--plan", "Nothing else can learn beside side(r=4)"),
    ("0-2:side 3-5:side(r=4)", "--plan", "give all of them the same options"),
]


@pytest.mark.parametrize(("text", "where", "says"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_mistakes_say_where_they_are_and_what_is_allowed(text: str, where: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        StepPlan.parse(text, 6)
    assert caught.value.where is not None
    assert caught.value.where.endswith(where)
    assert says in str(caught.value)


def test_mistakes_show_nothing_a_terminal_obeys() -> None:
    with pytest.raises(UserError) as caught:
        StepPlan.parse("\x1b[31m\x00" + "x" * 100_000)
    message = str(caught.value)
    assert "\\x1b[31m\\x00x" in message
    assert all(character.isprintable() or character == "\n" for character in message)
    assert len(message) < 1000


@given(st.text(alphabet="0123456789-,:()= adeloprtuf\n", max_size=40))
def test_any_text_is_a_plan_or_a_user_error(text: str) -> None:
    try:
        plan = StepPlan.parse(text)
    except UserError:
        return
    assert StepPlan.parse(str(plan)) == plan


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mode": "adapter", "plan": "lora"}, "--plan and --mode exclude"),
        ({"steps": "1", "plan": "lora"}, "--plan and --steps exclude"),
        ({"mode": "head", "steps": "1"}, "mode head trains no step"),
        ({"mode": "adapter", "steps": "rest"}, "allowed: steps such as 3, 0-2 or 0,2-4; all$"),
        ({"mode": "adapter", "steps": ""}, "where: --steps, character 1"),
        ({"mode": ""}, "where: --mode, character 1"),
        ({"plan": "missing.YML"}, "cannot be read"),
        ({"mode": "frozen"}, "selects nothing"),
        ({"mode": "adaptor"}, "did you mean 'adapter'"),
        ({"mode": "adapter", "steps": "4-7"}, "There is no recursion step 6-7"),
        ({"mode": "adapter", "steps": "last"}, "no recursion steps"),
        ({}, "--mode"),
        ({"plan": "missing.yaml"}, "cannot be read"),
    ],
)
def test_option_mistakes(options: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        StepPlan.from_options(total_steps=6, **options)


def test_plan_without_known_steps_is_checked_later() -> None:
    plan = StepPlan.parse("0-2:frozen 3-4:adapter")
    plan.check(5, has_layerwise=False)
    with pytest.raises(UserError, match="does not say what adapts step 5"):
        plan.check(6, has_layerwise=False)
    with pytest.raises(UserError, match="no recursion step 3-4") as caught:
        plan.check(3, has_layerwise=False)
    assert "0-2" in str(caught.value.allowed)
    with pytest.raises(UserError, match="selects nothing"):
        StepPlan.parse("0-1:frozen rest:adapter").check(2, has_layerwise=False)


def test_layerwise_needs_layerwise_adapters() -> None:
    plan = StepPlan.parse("0-2:frozen 3:layerwise")
    plan.check(4, has_layerwise=True)
    with pytest.raises(UserError, match="no layer-wise adapters") as caught:
        plan.check(4, has_layerwise=False)
    assert "step 3" in str(caught.value.where)


@given(plan_texts())
def test_yaml_reads_back(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "plan.yaml"
    for text in (
        case[0],
        "lora(r=4)",
        "side(r=4)",
        "0:side(dropout=0.1) rest:frozen",
        "head",
        "3-5:adapter rest:frozen",
    ):
        plan = StepPlan.parse(text)
        path.write_text(plan.yaml(), encoding="utf-8")
        assert StepPlan.read(path) == plan


def test_plan_option_takes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yml"
    path.write_text("0-2: frozen\n3: adapter(lora, r=4)\n", encoding="utf-8")
    assert str(StepPlan.from_options(plan=str(path), total_steps=4)) == (
        "0-2:frozen 3:adapter(lora,r=4)"
    )


@pytest.mark.parametrize(
    ("content", "printed"),
    [
        ("mode: adapter\nsteps: 2-3\n", "0-1:frozen 2-3:adapter(double_seq_bn,r=12)"),
        ("steps: 2\nmode: lora(r=4)\n", "0-1:frozen 2:adapter(lora,r=4) 3:frozen"),
        ("plan: 0-2:frozen 3:full\n", "0-2:frozen 3:full"),
        ("plan: |\n  0-2:frozen\n  3:full\n", "0-2:frozen 3:full"),
        ("\ufeffplan:\r\n  0-2: frozen\r\n  3: full\r\n", "0-2:frozen 3:full"),
    ],
)
def test_yaml_forms(tmp_path: Path, content: str, printed: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(content.encode())
    assert str(StepPlan.read(path, 4)) == printed


@pytest.mark.parametrize(
    ("content", "where", "says"),
    [
        ("plan:\n  0-2: frozen\n  3: adaptor\n", "line 3, character 6", "did you mean 'adapter'"),
        ("0: lora\n0: full\n", "line 2, character 1", "overlaps"),
        ("plan: adaptor\n", "line 1, character 7", "did you mean 'adapter'"),
        ("plan: 0-2:frozen 3:adaptor\n", "line 1, character 20", "did you mean 'adapter'"),
        ("mode: adapter\nsteps: rest\n", "line 2, character 8", "all"),
        ("mode: head\nsteps: 3\n", "line 2, character 8", "trains no step"),
        ("steps: 3\n", "line 1, character 1", "no recursion steps"),
        ("[" * 10_000, "plan.yaml", "no YAML"),
        ("0: [lora]\n", "line 1", "no plan"),
        ("mode: lora(\n", "line 1, character 7", "not closed"),
        ("", "plan.yaml", "holds no plan"),
        ("a: b: c", "plan.yaml", "no YAML"),
    ],
)
def test_yaml_mistakes_say_the_line(tmp_path: Path, content: str, where: str, says: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        StepPlan.read(path)
    assert where in str(caught.value.where)
    assert says in str(caught.value)


def test_reading_a_plan_does_not_import_torch() -> None:
    code = (
        "import sys; from adapterkit.plans.step_plan import StepPlan; "
        "StepPlan.parse('0-2:frozen 3-5:adapter', 6); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'adapters')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
