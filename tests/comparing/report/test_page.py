"""What stands on the page, read as a program reads HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from adapterkit.comparing.records.left_out import LeftOut
from adapterkit.comparing.report.page import render_report
from adapterkit.comparing.tables.table import Table
from tests.comparing.making import PLANS, line, record, row, table

VOID = {"meta", "input", "link", "br", "img", "hr"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Ids, links, text and every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [found for _, attributes in self.elements if (found := attributes.get(name))]

    def count(self, tag: str, **wanted: str) -> int:
        return sum(
            tag == each and all(attributes.get(k) == v for k, v in wanted.items())
            for each, attributes in self.elements
        )

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(tables: Sequence[Table]) -> Page:
    return Page(render_report(tables))


def test_every_element_is_closed_and_every_id_is_its_own(page: Path) -> None:
    found = Page(page.read_text(encoding="utf-8"))
    assert found.open == []
    assert max(Counter(found.values("id")).values()) == 1


def test_nothing_comes_from_outside(page: Path) -> None:
    found = Page(page.read_text(encoding="utf-8"))
    assert found.values("src") == []
    assert all(target.startswith("#") for target in found.values("href"))
    assert {target[1:] for target in found.values("href")} <= set(found.values("id"))
    for used in found.values("fill"):
        if used.startswith("url("):
            assert used[5:-1] in found.values("id")
    assert "@import" not in page.read_text(encoding="utf-8")


def test_every_section_is_there(page: Path) -> None:
    found = Page(page.read_text(encoding="utf-8"))
    for words in (
        "What a score costs",
        "Learning curves",
        "Scores of each type",
        "Recursion steps",
        "Errors",
        "Confusions and worst documents",
        "Runs",
        "two seeds are few",
        "runs/broken",
        "run.json was changed after the run",
        "recall, seen in training",
    ):
        assert words in found.text, words
    for cost in ("trainable parameters", "bytes shipped", "training time", "median latency"):
        assert f"Score against {cost}" in found.text
    assert found.count("tr", **{"data-series": "A"}) > 3


def test_every_plan_has_its_key_everywhere(page: Path, made_table: Table) -> None:
    found = Page(page.read_text(encoding="utf-8"))
    assert found.values("data-name") == [each.plan for each in made_table.rows] == list(PLANS)
    for key in "ABCD":
        assert found.values("data-series").count(key) > 8


def test_the_best_stands_out_and_a_tie_does_not(made_table: Table) -> None:
    best = read([made_table]).text
    assert "0.7050 ± 0.0071" in best
    assert read([made_table]).count("strong") == read([_tied(made_table)]).count("strong") + 1


def test_headings_say_how_they_sort_and_charts_what_they_show(page: Path) -> None:
    found = Page(page.read_text(encoding="utf-8"))
    assert found.count("svg", role="img") == found.count("desc") >= 7
    assert found.count("html", lang="en") == 1
    assert found.count("button", type="button") >= 10
    assert all(scope in ("col", "row") for scope in found.values("scope"))
    regions = [a for tag, a in found.elements if a.get("role") == "region"]
    assert regions
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in regions)


def test_words_of_others_stay_words(tmp_path: Path) -> None:
    made = line(f"{EVIL} caused tremor", [[0, 1, "Chemical"]], [[2, 3, "Disease"]], f"doc{EVIL}")
    run = record(tmp_path / "run", [made], command=EVIL)
    plain = table(tmp_path / "others")
    evil = replace(
        plain,
        task=EVIL,
        data=EVIL,
        notes=(EVIL,),
        left_out=(LeftOut(Path(EVIL), EVIL),),
        rows=(row([run], settings=EVIL), *plain.rows),
    )
    text = render_report([evil], title=EVIL)
    assert EVIL not in text
    assert Page(text).count("script") == 1
    assert EVIL in Page(text).text


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    made = record(tmp_path / "run")
    bare = replace(table(tmp_path / "others"), rows=(row([made], trainable=100),))
    text = read([bare]).text
    assert "Score against median latency of one text [ms]: not measured" in text
    assert "No score was logged while these learned: 0-2:full." in text
    assert "not yet" in text


def test_texts(tmp_path: Path) -> None:
    from adapterkit.tasks.registry import load_task

    config = load_task("hoc").model_dump(mode="json")
    first, second = config["labels"][:2]
    made = [{"id": "1", "document": "1", "gold": [first], "predicted": [first, second]}]
    run = record(tmp_path / "run", made, task="hoc", task_config=config)
    found = read([replace(table(tmp_path / "others"), task="hoc", rows=(row([run]),))])
    assert found.open == []
    assert "Scores of each class" in found.text
    assert "worst documents" not in found.text


def test_no_runs_at_all(tmp_path: Path) -> None:
    assert "There are no runs to compare." in read([]).text
    empty = replace(table(tmp_path), rows=())
    assert "was changed after the run" in read([empty]).text


def _tied(made: Table) -> Table:
    return replace(made, rows=tuple(replace(each, best=False) for each in made.rows))
