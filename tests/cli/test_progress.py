import pytest

from adapterkit.cli.progress import ProgressBars


def work(progress):
    progress.begin("training", 20)
    for _ in range(10):
        progress.advance(2, loss=0.5)
    progress.say("epoch 1: dev score 0.25")
    progress.begin("scoring")


def test_without_a_terminal_phases_are_lines(capsys):
    with ProgressBars() as progress:
        work(progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "training\nepoch 1: dev score 0.25\nscoring\n"


def test_passing_bars_leave_only_what_is_said(capsys):
    with ProgressBars(passing=True) as progress:
        work(progress)
    assert capsys.readouterr().err == "epoch 1: dev score 0.25\n"


def test_a_terminal_shows_bars(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressBars() as progress:
        work(progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "20/20" in captured.err
    assert "loss 0.5" in captured.err


def test_an_error_ends_the_bars_and_passes(capsys, monkeypatch):
    def fail():
        with ProgressBars() as progress:
            progress.begin("training", 20)
            raise KeyboardInterrupt

    monkeypatch.setenv("FORCE_COLOR", "1")
    with pytest.raises(KeyboardInterrupt):
        fail()
    shown = capsys.readouterr().err
    assert "20/20" not in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")
