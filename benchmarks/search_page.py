"""Write the figures of docs/search.md from their records: the diagnosis, the costs, the calibration.

    python -m benchmarks.search_page

A part of the page between `<!-- NAME -->` and `<!-- end -->` is what the function of that name returns. No figure of a
measurement stands outside them; a test rebuilds the parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import calibration, diagnosis
from benchmarks.performance import OURS, RECORDS
from reports.tables.table import Table
from search.comparison.pilot import pilot_size
from search.recipes.load import load_recipe
from search.record.files import read_json, write_text
from search.study.config import load_study

PAGE = Path(__file__).parents[1] / "docs" / "search.md"
STUDIES = PAGE.parents[1] / "studies"
RACES = ("race_macro", "race_random", "race_splits")
_PART = re.compile(r"<!-- (?!end)(\w+) -->\n.*?<!-- end -->", re.DOTALL)


def noise() -> str:
    """Return how much seeds alone spread test accuracy."""
    record = read_json(diagnosis.RESULT)
    rows = [
        {
            "epochs": epochs,
            "sd (points)": f"{one['sd']:.2f}",
            "95 % interval": _ends(one["interval"]),
            "networks": one["networks"],
            "trainings": one["trainings"],
        }
        for epochs, one in record["seed noise"].items()
    ]
    low, high = record["held-out noise at one epoch, bounds"]
    return (
        f"{_table(rows)}\n\nOn the {diagnosis.HELD_OUT:,} held-out images, by which a search judges, it is {low:.2f} to "
        f"{high:.2f} points at one epoch."
    )


def searches() -> str:
    """Return what the three searches saw, and what could be expected of it."""
    record = read_json(diagnosis.RESULT)
    rows = []
    for study, found in record["searches"].items():
        at = list(found["at noise"].values())
        best = [one["best"][0] for one in at]
        rows.append(
            {
                "study": f"`{study}`",
                "mean minus base": f"{found['mean minus base']:+.2f}",
                "spread seen": f"{found['spread seen']:.2f}",
                "true spread": _range(at, "spread"),
                "reliability": _range(at, "reliability"),
                "best, seen": f"{best[0]['seen']:+.2f}",
                "best, expected": _range(best, "gain", sign="+"),
                "chance that it beats the base": _range(best, "chance"),
            }
        )
    return _table(rows)


def winners() -> str:
    """Return where the gains of the confirmed winners went."""
    rows = [
        {
            "winner": name,
            "seen in the search": f"{one['seen in the search']:+.2f}",
            "confirmed": f"{one['confirmed at 3 epochs']:+.2f}",
            "luck of the choice": _ends(one["luck"]),
            "base's draw and horizon": _ends(one["base's draw and horizon"]),
        }
        for name, one in read_json(diagnosis.RESULT)["winners"].items()
    ]
    return _table(rows)


def space() -> str:
    """Return where the base stands among uniform draws."""
    record = read_json(diagnosis.RESULT)["space"]
    shares = [
        f"its share of {name} channels, {record[name]['base']:.2f}, at percentile {record[name]['percentile']:.2f}"
        for name in ("3x3", "pool")
    ]
    return f"Among {record['draws']:,} uniform draws the base stands at the edge: {' and '.join(shares)}."


def early() -> str:
    """Return how early epochs rank the last one."""
    rows = [
        {"epoch": epoch} | {f"`{name}`": f"{rho:+.2f}" for name, rho in found.items()}
        for epoch, found in read_json(diagnosis.RESULT)["early"].items()
    ]
    return _table(rows)


def families() -> str:
    """Return what the families do at the first and at the last epoch."""
    first, last = read_json(diagnosis.RESULT)["families"].items()
    rows = [
        {"family": name} | {title: f"{found[name][0]:+.2f} ± {found[name][1]:.2f}" for title, found in (first, last)}
        for name in first[1]
    ]
    return _table(rows)


def scores() -> str:
    """Return how well each score tells networks apart."""
    record = read_json(diagnosis.RESULT)["scores"]
    kinds = {"3 epochs": record["confirmation, 3 epochs"], "1 epoch": record["families, 1 epoch"]}
    rows = [
        {"score": f"`{one['score']}`"} | {length: f"{found[at]['ratio']:.2f}" for length, found in kinds.items()}
        for at, one in enumerate(kinds["3 epochs"])
    ]
    counts = [
        f"at {length} {found[0]['networks']} networks and {found[0]['trainings']} trainings"
        for length, found in kinds.items()
    ]
    return f"{_table(rows)}\n\nFrom test images, as nothing else was repeated: {', '.join(counts)}."


def plans() -> str:
    """Return what the same three hours were to be expected to find in several ways."""
    rows = []
    for name, one in read_json(diagnosis.RESULT)["plans"].items():
        spread, plan = name.split(": ")
        rows.append(
            {
                "plan": plan,
                "true spread": spread.removeprefix("spread "),
                "epochs": f"{one['epochs']:.0f}",
                "true gain": f"{one['gain']:+.2f}",
                "beats the base": f"{one['chance']:.0%}",
                "says of itself": f"{one['said']:+.2f}",
            }
        )
    return _table(rows)


def absent() -> str:
    """Return what the records cannot say."""
    return "\n".join(f"- {what}: {why}." for what, why in read_json(diagnosis.RESULT)["not in the records"].items())


def costs() -> str:
    """Return what the shipped races cost on the machine of the performance page."""
    rows, (each, trainings) = [], _epoch()
    for name in RACES:
        study = load_study(STUDIES / f"{name}.yaml")
        assert study.budget
        size = pilot_size(study, load_recipe(study.recipe).epochs)
        rows.append(
            {
                "study": f"`{name}`",
                "budget (epochs)": study.budget.epochs,
                "of these the pilot": size.epochs if size else 0,
                "pilot (core-minutes)": f"{size.epochs * each:.0f}" if size else "0",
                "all (core-hours)": f"{study.budget.epochs * each / 60:.1f}",
            }
        )
    return (
        f"{_table(rows)}\n\nAn epoch of `{OURS}` takes {each:.2f} core-minutes (mean of {trainings} trainings of 3 "
        "epochs, on [this machine](results/performance.md)). A confirmation of one network and the base with 6 seeds "
        f"takes {12 * 3 * each:.0f} core-minutes at 3 epochs, and {12 * 20 * each / 60:.1f} core-hours at 20."
    )


def _epoch() -> tuple[float, int]:
    """Return the core-minutes of an epoch, and of how many trainings that is the mean."""
    alike = [
        one["seconds"] / one["epochs"] / 60
        for one in json.loads((RECORDS / "accuracy.json").read_text())
        if (one["network"], one["recipe"], one["epochs"]) == (OURS, "muon", 3)
    ]
    return sum(alike) / len(alike), len(alike)


def calibrated() -> str:
    """Return what was said and what came true, over simulated studies."""
    record = read_json(calibration.RESULT)
    rows = [
        {
            "reliability of a training": space,
            "variances": kind,
            "studies (n)": f"{found['studies']:,}",
            "largest error of the chance (points)": f"{100 * found['largest difference']:.1f}",
            "bias of the expected gain": _with_error(found["bias of the gain, se"]),
            "bias of the seen gain": _with_error(found["bias of what is seen, se"]),
            "95 % interval holds the truth": f"{found['interval of 95 % covers']:.1%}",
        }
        for space, kinds in record["spaces"].items()
        for kind, found in kinds.items()
    ]
    return _table(rows)


def deciles() -> str:
    """Return the stated chances and how often they came true, in tenths of the studies."""
    kinds = read_json(calibration.RESULT)["spaces"][calibration.DRAWN]
    columns = {
        f"{what}, variances {kind}": [f"{tenth[what]:.1%}" for tenth in found["deciles"]]
        for kind, found in kinds.items()
        for what in ("said", "came true")
    }
    return Table("", "", pd.DataFrame(columns)).markdown().strip()


def pilots() -> str:
    """Return how often a pilot's intervals hold the truth."""
    rows = [
        {"reliability of a training": space} | {name: f"{share:.1%}" for name, share in found.items()}
        for space, found in read_json(calibration.RESULT)["pilots"].items()
    ]
    return _table(rows)


def raced() -> str:
    """Return what the same simulated work finds in several ways."""
    record = read_json(calibration.RESULT)
    rows = [
        {
            "plan": name,
            "true gain": f"{one['gain']:+.2f}",
            "beats the base": f"{one['chance']:.0%}",
            "says of itself": f"{one['said']:+.2f}",
        }
        for name, one in record["races"].items()
    ]
    return f"{_table(rows)}\n\n{record['budget of races']} epochs each."


PARTS = (
    noise,
    searches,
    winners,
    space,
    early,
    families,
    scores,
    plans,
    absent,
    costs,
    calibrated,
    deciles,
    pilots,
    raced,
)


def page(text: str) -> str:
    """Return the page's text with every part made again."""
    made = {part.__name__: part for part in PARTS}
    return _PART.sub(lambda found: f"<!-- {found[1]} -->\n{made[found[1]]()}\n<!-- end -->", text)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    return Table("", "", pd.DataFrame(rows)).markdown().strip()


def _range(found: Sequence[Mapping[str, float]], name: str, sign: str = "") -> str:
    return _ends([one[name] for one in found], sign)


def _ends(values: Sequence[float], sign: str = "") -> str:
    return " to ".join(f"{value + 0.0:{sign}.2f}" for value in sorted(values))


def _with_error(pair: Sequence[float]) -> str:
    return f"{pair[0]:+.3f} ± {pair[1]:.3f}"


if __name__ == "__main__":
    write_text(PAGE, page(PAGE.read_text()))
