"""The page in a browser: nothing goes wrong, and its table can be sorted and filtered."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)

# Runs in the page, as a reader would use it, and leaves what it saw where it can be read.
PROBE = """
<script>
addEventListener("load", () => {
  const table = document.querySelector("table.overview");
  const names = () => [...table.tBodies[0].rows].map((row) => row.dataset.name);
  const heading = (name) =>
    [...table.tHead.rows[0].cells].find((cell) => cell.textContent.trim().startsWith(name));
  const press = (name) => {
    const button = heading(name).querySelector("button");
    button.focus();
    button.click();
    return {
      names: names(),
      sort: heading(name).getAttribute("aria-sort"),
      focused: document.activeElement === button,
      sorted: table.querySelectorAll("[aria-sort]").length,
    };
  };
  const shut = () => document.querySelectorAll("details:not(.document):not([open])").length;
  const input = document.querySelector("input[type=search]");
  const type = (words) => {
    input.value = words;
    input.dispatchEvent(new Event("input"));
    const visible = (each) => each.getClientRects().length > 0;
    return {
      rows: [...table.tBodies[0].rows].filter(visible).map((row) => row.dataset.name),
      said: document.querySelector("[role=status]").textContent,
      drawn: [...new Set([...document.querySelectorAll("svg g[data-series]")]
        .filter(visible).map((each) => each.dataset.series))].sort(),
    };
  };
  const seen = {
    first: names(),
    score: press("score"),
    scoreAgain: press("score"),
    plan: press("plan"),
    latency: press("latency p50"),
    latencyAgain: press("latency p50"),
    filtered: type("ADAPTER"),
    both: type("adapter seq"),
    none: type("nonesuch"),
    cleared: type(""),
    details: shut(),
    wide: document.documentElement.scrollWidth <= innerWidth,
    charts: [...document.querySelectorAll("svg.chart")].every((each) => {
      const box = each.getBoundingClientRect();
      return box.width > 100 && box.height > 20;
    }),
  };
  dispatchEvent(new Event("beforeprint"));
  seen.shutInPrint = shut();
  dispatchEvent(new Event("afterprint"));
  seen.shutAfterwards = shut();
  const left = document.createElement("pre");
  left.id = "seen";
  left.textContent = JSON.stringify(seen);
  document.body.append(left);
});
</script>
"""


def browse(path: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    return subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={folder}", *options, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def complaints(log: str) -> list[str]:
    """What the page itself reported, and not what the browser says of its surroundings."""
    return [line for line in log.splitlines() if ":CONSOLE" in line]


@pytest.fixture(scope="module")
def visit(page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the page did when it was used, and the browser's log."""
    if BROWSER is None:
        pytest.skip("there is no Chromium")
    folder = tmp_path_factory.mktemp("browser")
    probed = folder / "probed.html"
    text = page.read_text(encoding="utf-8")
    probed.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    done = browse(probed, folder / "profile", "--dump-dom", "--window-size=1300,1000")
    left = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert left, done.stderr[-2000:]
    return json.loads(unescape(left[1])), done.stderr


HEAD, LORA, UPPER, FULL = (
    "head",
    "0-2:adapter(lora,r=8)",
    "0:frozen 1-2:adapter(seq_bn,r=16)",
    "0-2:full",
)


def test_nothing_goes_wrong(visit: tuple[dict[str, Any], str]) -> None:
    seen, log = visit
    assert complaints(log) == []
    assert seen["charts"]
    assert seen["wide"]


def test_what_goes_wrong_would_be_noticed(tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("there is no Chromium")
    broken = tmp_path / "broken.html"
    broken.write_text("<script>nonesuch()</script>", encoding="utf-8")
    done = browse(broken, tmp_path / "profile", "--dump-dom")
    assert len(complaints(done.stderr)) == 1


def test_headings_sort(visit: tuple[dict[str, Any], str]) -> None:
    seen, _ = visit
    assert seen["first"] == [HEAD, LORA, UPPER, FULL]
    score = seen["score"]
    assert score["names"] == [FULL, UPPER, LORA, HEAD]
    assert (score["sort"], score["focused"], score["sorted"]) == ("descending", True, 1)
    assert seen["scoreAgain"]["names"] == [HEAD, LORA, UPPER, FULL]
    assert seen["scoreAgain"]["sort"] == "ascending"
    assert seen["plan"]["names"] == [LORA, FULL, UPPER, HEAD]
    assert seen["plan"]["sorted"] == 1


def test_what_was_not_measured_is_last_either_way(visit: tuple[dict[str, Any], str]) -> None:
    seen, _ = visit
    assert seen["latency"]["names"] == [FULL, UPPER, LORA, HEAD]
    assert seen["latencyAgain"]["names"] == [LORA, UPPER, FULL, HEAD]


def test_the_filter_hides_rows_and_what_charts_draw_of_them(
    visit: tuple[dict[str, Any], str],
) -> None:
    seen, _ = visit
    # Sorted by latency when it is typed.
    assert seen["filtered"] == {"rows": [LORA, UPPER], "said": "2 of 4 plans", "drawn": ["B", "C"]}
    assert seen["both"] == {"rows": [UPPER], "said": "1 of 4 plans", "drawn": ["C"]}
    assert seen["none"] == {"rows": [], "said": "0 of 4 plans", "drawn": []}
    assert seen["cleared"]["said"] == "4 of 4 plans"
    assert seen["cleared"]["drawn"] == ["A", "B", "C", "D"]


def test_print_opens_what_is_shut(visit: tuple[dict[str, Any], str]) -> None:
    seen, _ = visit
    assert seen["details"] > 1
    assert seen["shutInPrint"] == 0
    assert seen["shutAfterwards"] == seen["details"]
