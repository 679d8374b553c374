"""The pages in a real browser: they run nothing that they did not bring, and everyone can read them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.page.index import index
from reports.page.report import report
from reports.page.watch import write
from reports.runs.load import export
from tests.support import RESULTS
from tests.support.browser import EVIL, Chromium, started
from tests.support.confirmations import BASE, confirmation, run_with, shifted

FOLDER = "<img src=x onerror=alert(1)> é"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a confirmation and a training, with names that try to break out, reported; and a damaged run."""
    folder = tmp_path_factory.mktemp("runs")
    export(run_with(confirmation(base=BASE, trial_1=shifted(0.02), trial_2=[*BASE[:5], EVIL])), folder / FOLDER)
    for name in ("study.yaml", "base.yaml"):
        _replace(folder / FOLDER / name, "name: ", f"name: {json.dumps(EVIL)} #")
    shutil.copytree(RESULTS / "googlenet_cifar_small", folder / "training")
    _replace(folder / "training" / "base.yaml", "source: ", f"source: {json.dumps(EVIL)} #")
    _with_predictions(folder / "training", [EVIL, *"abcdefghi"])
    (folder / "damaged").mkdir()
    (folder / "damaged" / "study.yaml").write_text(f"name: {json.dumps(EVIL)}")
    for name in (FOLDER, "training"):
        report(folder / name, folder / name / "report", static=name == "training")
    index(folder)
    return folder


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def _with_predictions(folder: Path, classes: list[str]) -> None:
    draw = np.random.default_rng(0)
    chances = draw.dirichlet(np.ones(10), 200).astype(np.float32)
    np.savez(
        folder / "predictions.npz",
        labels=np.where(draw.random(200) < 0.6, chances.argmax(1), draw.integers(0, 10, 200)),
        probabilities=chances,
        classes=np.array(classes),
        shown=np.arange(40),
        images=draw.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8),
    )


def address(runs: Path, *parts: str) -> str:
    return runs.joinpath(*parts, "index.html").as_uri()


@pytest.fixture(scope="module")
def study(chromium: Chromium, runs: Path) -> Iterator[Any]:
    """The study's page, opened once: it is large."""
    with chromium.open(address(runs, FOLDER, "report")) as tab:
        yield tab


@contextmanager
def as_it_was(tab: Any) -> Iterator[Any]:
    """Give a tab, and put its size and its colours back afterwards; what is sorted or explored goes with a reload."""
    yield tab
    tab.page.set_viewport_size({"width": 1280, "height": 800})
    tab.page.emulate_media(color_scheme="light")
    tab.page.reload()
    tab.loads = 1


def test_a_page_opens_without_a_complaint_or_a_request(study: Any) -> None:
    assert study.wrong == []
    assert study.loads == 1
    assert study.pixels().std() > 20
    assert study.page.title().endswith(" - study - report")


def test_names_are_shown_as_text(study: Any, chromium: Chromium, runs: Path) -> None:
    assert study.texts("h1") == [EVIL]
    assert any(EVIL in text for text in study.texts("#table-confirmation_differences .note, .notes li"))
    assert study.page.locator("script:not([type])").count() == 1
    assert study.page.locator("h1 *, td script, img").count() == 0
    with chromium.open(address(runs, "training", "report")) as tab:
        assert tab.page.locator("#figure-confusion svg path").count() > 10  # with the class names drawn
        assert EVIL in tab.page.locator("#networks pre").text_content()
        assert tab.wrong == []


def test_only_the_scripts_that_came_with_the_page_run(chromium: Chromium, runs: Path) -> None:
    """Were a name not escaped, the policy would still stop it."""
    attempt = """() => {
        window.blocked = [];
        document.addEventListener("securitypolicyviolation", event => blocked.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", `<b onclick="window.ran = true">x</b><img src="https://example.org/a">`);
        document.body.querySelector("b:last-of-type").click();
        return fetch("https://example.org/b").catch(() => new Promise(end => setTimeout(() => end([window.ran, blocked]), 200)));
    }"""
    with chromium.open(address(runs, "training", "report")) as tab:
        ran, blocked = tab.page.evaluate(attempt)
        assert ran is None
        assert {"script-src-elem", "script-src-attr", "img-src", "connect-src"} == set(blocked)
    for parts in ((FOLDER, "report"), ("training", "report"), ()):
        policy = runs.joinpath(*parts, "index.html").read_text().partition('Policy" content="')[2].partition('"')[0]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'none'"
        assert all(source.startswith("'sha256-") for source in rules["script-src"].split())


def test_tables_sort_by_pointer_and_by_keyboard(study: Any) -> None:
    with as_it_was(study) as tab:
        table = "table#trials"
        headers = [text.rstrip() for text in tab.texts(f"{table} th")]
        place = next(i for i, text in enumerate(headers) if text.startswith("held-out accuracy")) + 1
        button, cells = f"{table} th:nth-child({place}) button", f"{table} td:nth-child({place})"
        written = tab.texts(cells)
        tab.page.click(button)
        values = [float(text) for text in tab.texts(cells) if text != "-"]
        assert values == sorted(values)
        assert values != [float(text) for text in written if text != "-"]
        assert tab.page.get_attribute(f"{table} th:nth-child({place})", "aria-sort") == "ascending"
        tab.page.focus(button)
        tab.page.keyboard.press("Enter")
        assert [float(text) for text in tab.texts(cells) if text != "-"] == sorted(values, reverse=True)
        tab.page.keyboard.press("Space")
        assert tab.texts(cells) == written
        tab.page.click(f"{table} th:nth-child(1) button")
        numbers = [int(text) for text in tab.texts(f"{table} td:nth-child(1)") if text != "base"]
        assert numbers == sorted(numbers)  # 2 before 10
        heads = "table#confirmation_runs"
        place = [text.rstrip() for text in tab.texts(f"{heads} th")].index("test accuracy (%)") + 1
        for _ in range(2):
            tab.page.click(f"{heads} th:nth-child({place}) button")
            shown = tab.texts(f"{heads} td:nth-child({place})")
            assert shown[-1] == "-"
            assert "-" not in shown[:-1]


def test_figures_are_drawn_and_can_be_explored(study: Any) -> None:
    with as_it_was(study) as tab:
        figures = tab.page.locator("#figures figure, #networks figure")
        assert figures.count() >= 8
        for number in range(figures.count()):
            box = figures.nth(number).locator("svg").first.bounding_box()
            assert min(box["width"], box["height"]) > 100
        assert tab.pixels("#figure-learning_curves .drawn").std() > 10
        tab.page.click("#figure-learning_curves .explore")
        tab.page.wait_for_selector("#figure-learning_curves .plot .scatterlayer path.point")
        assert not tab.page.is_visible("#figure-learning_curves .drawn")
        assert tab.pixels("#figure-learning_curves .plot").std() > 10
        tab.page.click("#figure-learning_curves .explore")
        assert tab.page.is_visible("#figure-learning_curves .drawn")
        assert tab.wrong == []


def test_a_static_page_has_no_library(chromium: Chromium, runs: Path) -> None:
    page = runs / "training" / "report" / "index.html"
    assert page.stat().st_size < 1_500_000
    assert "'unsafe" not in page.read_text().partition("<style>")[0]
    with chromium.open(page.as_uri()) as tab:
        assert not tab.page.locator("#plotly, .explore").count()
        assert tab.pixels("figure .drawn").std() > 10


def test_on_a_phone_nothing_but_boxes_scrolls_sideways(study: Any, chromium: Chromium, runs: Path) -> None:
    with as_it_was(study) as tab, chromium.open(address(runs), width=360) as other:
        tab.page.set_viewport_size({"width": 360, "height": 700})
        for page in (tab.page, other.page):
            assert page.evaluate("document.documentElement.scrollWidth") == 360
            page.evaluate("scrollTo(99, 0)")
            assert page.evaluate("scrollX") == 0
            assert page.evaluate("Math.max(...[...document.querySelectorAll('.scroll')].map(b => b.scrollWidth))") > 360


def test_in_the_dark_all_is_dark_but_the_writing(study: Any) -> None:
    assert np.median(study.pixels("#figure-learning_curves .drawn")) > 240
    with as_it_was(study) as tab:
        tab.page.emulate_media(color_scheme="dark")
        for what in ("#summary", "#table-trials .scroll", "#figure-learning_curves .drawn", "#network-1 .drawn"):
            seen = tab.pixels(what)
            assert np.median(seen) < 60, what
            assert seen.max() > 180, what
        tab.page.click("#figure-learning_curves .explore")
        tab.page.wait_for_selector("#figure-learning_curves .plot .scatterlayer path.point")
        seen = tab.pixels("#figure-learning_curves .plot")
        assert np.median(seen) < 60
        assert seen.max() > 120


def test_by_keyboard_the_first_stop_leads_past_the_contents(chromium: Chromium, runs: Path) -> None:
    with chromium.open(address(runs, "training", "report")) as tab:
        tab.page.keyboard.press("Tab")
        where = "document.activeElement.className"
        assert tab.page.evaluate(where) == "skip"
        assert tab.page.locator(".skip").bounding_box()["x"] > 0
        tab.page.keyboard.press("Enter")
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.getElementById('main').contains(document.activeElement)")
        outline = tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        for link in tab.page.locator("nav a").evaluate_all("links => links.map(link => link.hash)"):
            assert tab.page.locator(f"[id='{link[1:]}']").count() == 1, link


def test_ids_are_there_once(study: Any) -> None:
    """Figures share no names: a clip or a glyph of one would end up in another."""
    ids = study.page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))
    lost = "[...document.querySelectorAll('use')].filter(u => !document.getElementById(u.getAttribute('href').slice(1))).length"
    assert study.page.evaluate(lost) == 0


def test_a_folder_of_runs_links_to_their_reports(chromium: Chromium, runs: Path) -> None:
    with chromium.open(address(runs)) as tab:
        rows = tab.texts("tbody tr td:first-child")
        assert rows == ["training", FOLDER]
        started = tab.texts("tbody td:last-child")
        assert started == sorted(started, reverse=True)
        assert EVIL in tab.texts("td")
        assert "damaged" in tab.texts("#unread li")[0]
        tab.page.click(f"tbody tr:nth-child({rows.index(FOLDER) + 1}) a")
        assert tab.texts("h1") == [EVIL]
        assert tab.wrong == [f"request: {address(runs, FOLDER, 'report')}"]  # the one that was clicked


def test_a_watched_page_reloads_until_it_is_paused(chromium: Chromium, runs: Path, tmp_path: Path) -> None:
    page = write(runs / "training", tmp_path, static=True, reload=3600)
    with chromium.open(page.as_uri()) as tab:
        tab.page.clock.install()  # from the next load on, the page's time is ours
        tab.page.reload()
        with tab.page.expect_navigation():
            tab.page.clock.fast_forward(3601_000)
        assert tab.loads == 3
        tab.page.click(".watch button")
        assert tab.page.get_attribute(".watch button", "aria-pressed") == "true"
        tab.page.clock.fast_forward(9000_000)
        assert tab.texts("h1") == ["training"]
        assert tab.loads == 3
        assert tab.wrong == []
