"""The figures of docs/search.md are those of its records."""

from __future__ import annotations

import re

from benchmarks import calibration, diagnosis
from benchmarks.search_page import PAGE, PARTS, STUDIES, page
from search.record.files import read_json
from search.study.config import load_study


def test_the_page_is_made_of_its_records() -> None:
    text = PAGE.read_text()
    assert page(text) == text
    assert re.findall(r"<!-- (?!end)(\w+) -->", text) == [part.__name__ for part in PARTS]


def test_a_changed_figure_would_be_found() -> None:
    text = PAGE.read_text()
    for part in PARTS:
        made = part()
        assert f"<!-- {part.__name__} -->\n{made}\n<!-- end -->" in text
        changed = text.replace(made, re.sub(r"\d", "8", made) + "8")
        assert changed != text
        assert page(changed) == text


def test_the_texts_constants_are_the_benchmarks() -> None:
    text = " ".join(PAGE.read_text().split())
    counts = (
        f"{calibration.CANDIDATES} candidates, {calibration.FURTHER} further seeds, {calibration.BASE_SEEDS} base seeds"
    )
    assert counts in text
    assert f"{diagnosis.TEST:,} test images" in text


def test_what_the_text_concludes() -> None:
    record = read_json(diagnosis.RESULT)
    noise = {int(epochs): one["sd"] for epochs, one in record["seed noise"].items()}
    assert noise[3] < noise[1] / 3**0.5
    for found in record["searches"].values():
        assert found["mean minus base"] < 0
        assert all(best["gain"] < best["seen"] for at in found["at noise"].values() for best in at["best"])
    first, last = record["families"].values()
    assert any(first[name][0] < 0 < last[name][0] for name in first)
    spaces = read_json(calibration.RESULT)["spaces"]
    biases = {space: spaces[space]["estimated"]["bias of the gain, se"][0] for space in ("0.15", "0.71")}
    assert biases["0.15"] > 0 > biases["0.71"]


def test_random_proposals_race_in_the_same_space_with_the_same_work() -> None:
    """So that the page may credit space and proposals apart."""
    macro, random = (load_study(STUDIES / f"{name}.yaml").model_dump() for name in ("race_macro", "race_random"))
    assert {key for key in macro if macro[key] != random[key]} == {"name", "sampler", "race"}
    assert {key for key in macro["race"] if macro["race"][key] != random["race"][key]} == {"pilot"}
