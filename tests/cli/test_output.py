import io
import json
import sys

import pytest

from adapterkit.cli import output


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_bytes(count, text):
    assert output.human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (61, "1 min 1 s"),
        (3599.6, "1 h 0 min"),
        (7380, "2 h 3 min"),
    ],
)
def test_durations(seconds, text):
    assert output.human_seconds(seconds) == text


def test_json_is_one_line_of_ascii(capsys):
    output.print_json({"text": "β\nx", "score": float("nan")})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"text": "β\nx", "score": None}


def test_prints_of_libraries_do_not_reach_standard_output(capsys):
    with output.clear_stdout(True):
        print("noise")
    with output.clear_stdout(False):
        print("result")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "noise\n")


def test_tables_are_not_cut_in_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    output.print_table(("name", "count"), [("x" * 90, 1_000), ("[b]y", 2)])
    printed = sys.stdout.getvalue()
    assert "x" * 90 in printed
    assert "1,000" in printed
    assert "[b]y" in printed
    assert "\x1b" not in printed


def test_warnings_go_to_standard_error(capsys):
    output.warn("this is the sample")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "WARNING: this is the sample" in captured.err
