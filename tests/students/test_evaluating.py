from __future__ import annotations

from adapterkit.students.evaluating import said


def test_an_evaluation_is_said_in_one_line() -> None:
    measures = {
        "tokens": 12_000,
        "cosines": [0.9, 0.875],
        "perplexity": 31.5,
        "probes": {"bc5cdr": 0.61, "hoc": 0.5},
        "probe_data": {"bc5cdr": "env", "hoc": "sample"},
    }
    assert said(measures).lstrip() == (
        "12,000 word pieces  cosines 0.900 0.875  perplexity 31.50"
        "  probes bc5cdr 0.6100  hoc 0.5000 (sample)"
    )


def test_what_was_not_measured_is_not_said() -> None:
    assert said({"tokens": 5}).split() == ["5", "word", "pieces"]
