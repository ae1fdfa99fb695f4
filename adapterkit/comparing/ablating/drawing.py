"""What an ablation found as charts."""

from __future__ import annotations

from adapterkit.comparing.ablating.ablation import Ablation, Swap
from adapterkit.comparing.charts.bars import Bar, bar_chart
from adapterkit.comparing.charts.figures import percent, signed_percent
from adapterkit.comparing.charts.lines import Line, line_chart
from adapterkit.comparing.charts.palette import look


def steps_heading(ablation: Ablation) -> str:
    """What `steps_chart` shows, in a line."""
    whole = f"{percent(ablation.whole.score)} with all"
    return f"{ablation.task}, {ablation.split}: {ablation.metric} lost without a step ({whole})"


def swap_heading(ablation: Ablation) -> str:
    """What `swap_chart` shows, in a line."""
    return f"{ablation.task}, {ablation.split}: two runs swapped at step k"


def steps_chart(ablation: Ablation) -> str:
    """How much of the score is lost without what learned at each step."""
    whole = ablation.whole.score
    bars = []
    for each in ablation.steps:
        lost, said = None, "nothing learned"
        if each.result is not None:
            lost = whole - each.result.score
            said = f"{signed_percent(-lost)} to {percent(each.result.score)}"
        bars.append(Bar(f"step {each.step}: {_shortened(each.mechanism)}", lost, said))
    return bar_chart(
        bars,
        steps_heading(ablation),
        f"With all steps {ablation.metric} is {percent(whole)}. "
        + " ".join(f"{bar.name}: {bar.said}." for bar in bars),
        left=230.0,
    )


def swap_chart(ablation: Ablation, swap: Swap) -> str:
    """The score of the mixture of two runs for each k."""
    places = tuple((float(k), result.score) for k, result in enumerate(swap.results))
    return line_chart(
        [Line(f"{ablation.run.plan} below, {swap.other.plan} above", look(0), places)],
        swap_heading(ablation),
        "k (steps below k of the ablated run, from k on of the other)",
        f"{ablation.metric} [%]",
        lambda k: f"{k:.0f}" if k == round(k) else "",
    )


def _shortened(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}\u2026"
