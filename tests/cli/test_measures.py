from adapterkit.cli import measures

NER = {
    "precision": 0.5,
    "recall": 0.25,
    "f1": 1 / 3,
    "macro_f1": 0.125,
    "per_type": {"Chemical": {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 1_234}},
    "lenient_f1": 0.75,
    "metric": "strict_f1",
    "score": 1 / 3,
}


def test_the_score_comes_first_and_once():
    assert measures.say_measures(NER) == (
        "0.3333 strict_f1  (precision 0.5000, recall 0.2500, lenient_f1 0.7500, macro_f1 0.1250)"
    )


def test_the_metric_of_the_score_is_not_repeated():
    said = measures.say_measures(
        {"accuracy": 0.5, "macro_f1": 0.4, "metric": "accuracy", "score": 0.5}
    )
    assert said == "0.5000 accuracy  (macro_f1 0.4000)"


def test_every_type_has_a_line(capsys):
    measures.print_per_type(NER)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split() == ["Chemical", "0.5000", "0.2500", "0.3333", "1,234"]


def test_the_sample_is_called_a_sample(capsys):
    measures.warn_of_sample("hoc")
    warned = capsys.readouterr().err
    assert warned.startswith("WARNING")
    assert "sample" in warned
    assert "hoc" in warned
