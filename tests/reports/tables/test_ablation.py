from __future__ import annotations

import pytest

from reports.figures.run_figures import figures_of
from reports.page.summary import summarised
from reports.tables.run_tables import tables_of
from reports.tables.trace import trace
from tests.support.ablations import run_of

SEEDS = [1, 2, 3, 4, 5, 6]


def test_the_answer_opens_with_the_question_and_gives_verdicts() -> None:
    run = run_of({}, {}, up=0.02, down=-0.02, same=0.0, gone=None)
    differences = tables_of(run)[1].frame.set_index("name")["words"]
    assert differences["up"] == "better"
    assert differences["down"] == "worse"
    assert differences["same"] == "inconclusive"
    assert differences["gone"] == "no verdict: 6 of 6 pairs missing"
    question, result, certainty = summarised(run)
    assert question.startswith(
        "Does it help? 4 changes (up, down, same, gone) and the base, each trained with the same 6 seeds"
    )
    assert "(better)" in result
    assert certainty.startswith("Better: up; worse: down; inconclusive: same; no verdict")
    assert [name for name, _, _ in figures_of(run, tables_of(run))] == ["ablation"]


def test_bold_is_what_the_test_supports_and_cells_name_their_trainings() -> None:
    tables = tables_of(run_of({}, {}, up=0.02, down=-0.02, gone=None))
    scores, differences, runs = tables
    assert scores.bold == {(1, "mean")}
    assert differences.bold == {(0, "words")}
    assert "mean (%) ± sd (n)" in scores.latex().replace(r"$\pm$", "±").replace(r"\%", "%")
    assert trace(tables, "ablation", "up", "sd").folders == tuple(f"up/{seed}" for seed in SEEDS)
    assert trace(tables, "ablation", "up", "MACs (M)").folders == ("plan.json",)
    both = trace(tables, "ablation_differences", "down", "p").folders
    assert both == (*(f"base/{seed}" for seed in SEEDS), *(f"down/{seed}" for seed in SEEDS))
    assert trace(tables, "ablation_runs", "7", "seed").folders == ("up/1",)
    assert trace(tables, "ablation_runs", str(len(runs.frame)), "state").folders == ("plan.json",)  # gone/6 has none


@pytest.mark.parametrize("own", [{"base": {"a": "off", "b": "low"}}, {}], ids=["recorded", "an older plan"])
def test_the_effect_of_a_factor_is_the_mean_over_the_others(own: dict[str, dict[str, str]]) -> None:
    factors = {"a": {"off": {}, "on": {"heads": []}}, "b": {"low": {}, "high": {"recipe": {"lr": 1.0}}}}
    levels = {
        "on": {"a": "on", "b": "low"},
        "high": {"a": "off", "b": "high"},
        "on+high": {"a": "on", "b": "high"},
    }
    table = tables_of(run_of(own | levels, factors, **{"on": 0.02, "high": 0.10, "on+high": 0.16}))[2]
    effect = table.frame.set_index(["factor", "level"])["difference"]
    assert effect["a", "on"] == pytest.approx((2 + 6) / 2, abs=0.05)  # beside off: 2 at low, 16 - 10 at high
    assert effect["b", "high"] == pytest.approx((10 + 14) / 2, abs=0.05)
    assert table.frame["base"].tolist() == ["off", "low"]
    assert set(table.sources[0]) == {f"{name}/{seed}" for name in ("base", "on", "high", "on+high") for seed in SEEDS}


def test_the_column_and_the_note_name_the_test_that_assumes_no_distribution() -> None:
    few = tables_of(run_of({}, {}, up=0.02))[1]
    many = tables_of(run_of({}, {}, repeats=3, up=0.02))[1]
    for table, named, other in ((few, "sign flip", "Wilcoxon"), (many, "Wilcoxon", "sign flip")):
        assert f"p, {named}" in table.printed().columns
        assert f"p, {other}" not in table.printed().columns
        assert named in table.notes[0].replace("sign-flip", "sign flip")
        assert other not in table.notes[0].replace("sign-flip", "sign flip")
    assert many.printed()["p, Wilcoxon"].tolist() == ["0.0002"]


def test_a_factor_with_a_missing_cell_gets_no_verdict() -> None:
    factors = {"a": {"off": {}, "on": {"heads": []}}, "b": {"low": {}, "high": {"recipe": {"lr": 1.0}}}}
    levels = {
        "on": {"a": "on", "b": "low"},
        "high": {"a": "off", "b": "high"},
        "on+high": {"a": "on", "b": "high"},
    }
    table = tables_of(run_of(levels, factors, **{"on": 0.02, "high": 0.1, "on+high": None}))[2]
    assert all(verdict.startswith("no verdict") for verdict in table.frame["words"])
