from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

import arch
import reports
from reports.figures import architecture as parts
from reports.figures import curves, tradeoff
from reports.figures import importance as effects
from reports.figures import predicted as judged
from reports.figures.interactive import learning_curves as hovering_curves
from reports.figures.run_figures import explored_of, figures_of
from reports.figures.style import BLUE, COLUMN, GREEN, GREY, ORANGE, PALETTE, TEXT, look, shortened
from reports.runs import frames, predictions
from reports.runs.load import export
from reports.runs.run import Run
from reports.tables.run_tables import tables_of
from search.record.predictions import Predictions, calibration_error
from tests.support import RESULTS
from tests.support.ablations import run_of
from tests.support.confirmations import BASE, confirmation, run_with, shifted

LONG = "inception_residual with a scale of 0.1 at equal multiply-adds"


@pytest.fixture(scope="module")
def run() -> Run:
    return reports.load(RESULTS / "splits_cifar10")


def drawn(figure: Figure, panel: int = 0) -> dict[str, tuple[list[float], list[float]]]:
    """The lines of a panel by their labels, as (x, y)."""
    lines = figure.axes[panel].get_lines()
    return {str(line.get_label()): ([*line.get_xdata()], [*line.get_ydata()]) for line in lines}  # type: ignore[misc]


def scattered(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    return {str(c.get_label()): np.asarray(c.get_offsets()) for c in figure.axes[panel].collections}


def bars(figure: Figure, panel: int = 0) -> dict[str, list[float]]:
    found = [c for c in figure.axes[panel].containers if isinstance(c, BarContainer)]
    return {str(c.get_label()): [bar.get_width() for bar in c] for c in found}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def seeded(**values: list[list[float]]) -> pd.DataFrame:
    """Learning curves: for each series one list of accuracies a seed."""
    return pd.DataFrame(
        [
            {"series": name, "training": f"{name}/{seed}", "epoch": epoch, "accuracy": value, "lr": 0.1 / epoch}
            for name, seeds in values.items()
            for seed, accuracies in enumerate(seeds)
            for epoch, value in enumerate(accuracies, 1)
        ]
    )


def test_learning_curves_are_means_with_a_band_over_seeds() -> None:
    frame = seeded(base=[[40, 60, 70], [50, 64, 72], [45, 62]], alone=[[30, 50, 55]])
    figure = curves.learning_curves(frame, "accuracy (%)")
    lines = drawn(figure)
    assert lines["base (n = 3)"] == ([1, 2], [45, 62])  # no mean where a seed is missing
    assert lines["alone"] == ([1, 2, 3], [30, 50, 55])
    (band,) = figure.axes[0].collections
    points = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}  # type: ignore[attr-defined]
    assert points == {(1, 40), (1, 50), (2, 60), (2, 64)}
    (rate,) = figure.axes[1].get_lines()
    assert [*rate.get_ydata()] == pytest.approx([0.1, 0.05, 0.1 / 3])  # type: ignore[misc]


def test_a_learning_rate_of_its_own_is_drawn_apart() -> None:
    frame = seeded(base=[[40, 60]], fast=[[50, 70]])
    frame.loc[frame["series"] == "fast", "lr"] *= 3
    assert {to_hex(line.get_color()).upper() for line in curves.learning_curves(frame, "").axes[1].get_lines()} == {
        BLUE,
        ORANGE,
    }


def test_the_curves_of_a_study_and_of_a_training(run: Run) -> None:
    found = frames.curves(run)
    figure = curves.learning_curves(found, "held-out accuracy (%)")
    best = run.ranked.iloc[0]["trial"]
    own = run.epochs[run.epochs["trial"] == best]
    assert drawn(figure)[f"best (trial {best})"][1] == pytest.approx(100 * own["val_accuracy"])
    grey = [line for line in figure.axes[0].get_lines() if line.get_color() == GREY]
    assert len(grey) == len(run.ranked) - 1
    single = drawn(curves.learning_curves(frames.curves(reports.load(RESULTS / "googlenet_cifar_small")), ""))
    assert {"held-out images", "training images, augmented"} == set(single)


@pytest.mark.parametrize("cost", ["macs", "params"])
def test_score_against_cost_with_the_front(run: Run, cost: str) -> None:
    networks = frames.networks(run)
    figure = tradeoff.accuracy_against(networks, cost, "held-out accuracy (%)", limit=30e6)
    points = scattered(figure)
    assert len(points[f"trials (n = {len(run.ranked)})"]) == len(run.ranked)
    assert run.base is not None
    assert points["base network"][0] == pytest.approx([run.base[cost] / 1e6, 100 * run.base["val_accuracy"]])
    x, y = drawn(figure)["front of the trials"]
    assert x == sorted(x)
    assert y == sorted(y)
    beaten = [
        (a, b)
        for a, b in points[f"trials (n = {len(run.ranked)})"]
        if any(a > c and b < d for c, d in zip(x, y, strict=True))
    ]
    assert len(beaten) + len(x) == len(run.ranked)
    assert drawn(figure)["limit"][0] == pytest.approx([30.0, 30.0])
    large = tradeoff.accuracy_against(networks.assign(macs=networks["macs"] * 100), "macs", "")
    assert large.axes[0].get_xlabel().endswith("(G)")
    level = tradeoff.accuracy_against(networks.assign(macs=1e6), "macs", "")
    assert "front of the trials" not in drawn(level)


def test_composition_beside_googlenets_own(run: Run) -> None:
    shares = frames.compositions(run)
    assert shares.groupby(["network", "row"])["share"].sum().to_numpy() == pytest.approx(1.0)
    best = f"trial {run.ranked.iloc[0]['trial']}"
    assert list(dict.fromkeys(shares["network"]))[:3] == ["GoogLeNet", "base", best]
    three_a = shares[(shares["network"] == "GoogLeNet") & (shares["row"] == "3a")]
    assert three_a["channels"].tolist() == [64, 128, 32, 32]  # GoogLeNet's Table 1
    figure = parts.composition(shares)
    third = bars(figure, 2)
    mine = shares[shares["network"] == best].pivot(index="row", columns="branch", values="share")
    assert third["5x5"] == pytest.approx(100 * mine["5x5"])
    assert [axes.get_title() for axes in figure.axes[:3]] == ["GoogLeNet", "base", best]


def test_cost_by_row_is_that_of_the_spec() -> None:
    spec = arch.load("googlenet")
    costs = frames.row_costs({"googlenet": spec})
    assert (costs["macs"].sum(), costs["params"].sum()) == (arch.cost(spec).macs, arch.cost(spec).params)
    figure = parts.cost_by_row(costs)
    assert sum(bars(figure)["googlenet"]) == pytest.approx(arch.cost(spec).macs / 1e6)
    assert figure.axes[0].get_xlabel() == "MACs (M)"
    with pytest.raises(arch.InputError, match="have other rows"):
        frames.row_costs({"a": spec, "b": arch.load("inception_v3")})


def test_auxiliary_weights_against_each_accuracy(run: Run) -> None:
    figure = effects.aux_weights(frames.head_points(run, ["3b", "4b"]))
    assert len(figure.axes) == 2
    points = scattered(figure, 1)["head 3b"]
    assert points[:, 0] == pytest.approx(run.ranked["aux_weight.4b"])
    assert points[:, 1] == pytest.approx(100 * run.ranked["val_aux_accuracy.3b"])


def test_importance_draws_both_evaluators() -> None:
    shares = pd.DataFrame({"parameter": ["lr", LONG], "importance": [0.7, 0.3], "mdi": [0.6, 0.4]})
    figure = effects.importance(shares)
    assert bars(figure) == {"fANOVA": [0.3, 0.7], "MDI": [0.4, 0.6]}
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [shortened(LONG, 34), "lr"]


def differences(**rows: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "name": name,
                "pairs": 6,
                "difference": mean,
                "low": mean - half,
                "high": mean + half,
                "verdict": said,
            }
            for name, (mean, half, said) in rows.items()
        ]
    )


def test_a_forest_shows_differences_intervals_and_verdicts() -> None:
    frame = differences(
        up=(1.0, 0.5, "better"), down=(-1.0, 0.5, "worse"), same=(0.1, 1.0, "inconclusive"),
        few=(0.3, float("nan"), "no verdict"),
    )  # fmt: skip
    figure = effects.forest(frame)
    axes = figure.axes[0]
    spans = [[*line.get_xdata()] for line in axes.get_lines() if line.get_linestyle() == "-"]  # type: ignore[misc]
    assert spans == [[0.5, 1.5], [-1.5, -0.5], [pytest.approx(-0.9), pytest.approx(1.1)]]
    assert [tuple(c.get_offsets()[0]) for c in axes.collections] == [(1.0, 3), (-1.0, 2), (0.1, 1), (0.3, 0)]  # type: ignore[index]
    assert [to_hex(c.get_facecolor()[0]).upper() for c in axes.collections[:3]] == [GREEN, ORANGE, GREY]  # type: ignore[index]
    assert texts(figure) == ["better (n = 6)", "worse (n = 6)", "inconclusive (n = 6)", "no verdict (n = 6)"]


def test_a_confirmation_shows_every_seed_and_the_forest() -> None:
    run = run_with(confirmation(base=BASE, trial_1=shifted(0.02)))
    tables = tables_of(run)
    figure = next(figure for name, _, figure in figures_of(run, tables) if name == "confirmation")
    dots = [np.asarray(c.get_offsets()) for c in figure.axes[0].collections]
    assert dots[0][:, 0] == pytest.approx([100 * value for value in BASE])
    assert dots[1][:, 0] == pytest.approx([100 * value for value in shifted(0.02)])
    assert texts(figure) == ["better (n = 6)"]
    assert "seeds 11, 12, 13, 14, 15, 16" in figure.get_supxlabel().replace("\n", " ")


def test_an_ablations_curves_have_bands_over_its_seeds() -> None:
    base = run_of({}, {}, up=0.02)
    epochs = pd.DataFrame(
        [
            {"trial": f"{name}/{seed}", "epoch": epoch, "train_accuracy": 0.1 * epoch + 0.01 * seed, "lr": 0.1,
             "change": name, "seed": seed}
            for name in ("base", "up") for seed in (1, 2) for epoch in (1, 2)
        ]
    )  # fmt: skip
    run = replace(base, epochs=epochs)
    drawings = {name: figure for name, _, figure in figures_of(run, tables_of(run))}
    assert list(drawings) == ["ablation", "learning_curves"]
    curve = drawn(drawings["learning_curves"])["up (n = 2)"]
    assert curve[1] == pytest.approx([11.5, 21.5])
    assert drawings["learning_curves"].axes[0].get_ylabel() == "train accuracy (%)"
    hovering = explored_of(run, tables_of(run))
    assert list(hovering) == ["ablation", "learning_curves"]
    assert [trace.name for trace in hovering["learning_curves"].data if trace.showlegend is None] == [
        "base (n = 2)",
        "up (n = 2)",
    ]


def judgements(classes: int = 3, side: int = 8, channels: int = 3) -> Predictions:
    """Class k is right for all but k of its ten images, which are taken for the next class, with probability 0.6."""
    labels = np.repeat(np.arange(classes), 10)
    predicted = np.array([(k + 1) % classes if i < k else k for k in range(classes) for i in range(10)])
    probabilities = np.full((len(labels), classes), 0.4 / (classes - 1), dtype=np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.6
    images = np.random.default_rng(0).integers(0, 255, (5, side, side, channels), dtype=np.uint8)
    names = tuple(f"class {k} {LONG}" for k in range(classes))
    return Predictions(names, labels, probabilities, {}, np.array([0, 20, 1, 21, 29]), images)


def test_what_was_predicted_by_hand() -> None:
    found = judgements()
    classes = predictions.by_class(found)
    assert classes["accuracy"].tolist() == pytest.approx([100, 90, 80])
    assert classes["low"].iloc[1] == pytest.approx(59.585, abs=0.01)  # Wilson's interval of 9 of 10
    assert classes["high"].iloc[1] == pytest.approx(98.212, abs=0.01)
    assert predictions.confusion(found).to_numpy().tolist() == [[10, 0, 0], [0, 9, 1], [2, 0, 8]]
    bins = predictions.calibration(found, bins=10)
    assert bins["images"].tolist() == [30]
    assert bins["accuracy"].iloc[0] == pytest.approx(0.9)
    assert calibration_error(bins.to_dict("records")) == pytest.approx(0.3)
    assert predictions.pictures(found)["right"].tolist() == [False, False, True, True, True]


def test_figures_of_predictions_draw_them() -> None:
    found = judgements()
    figure = judged.class_accuracy(predictions.by_class(found))
    assert drawn(figure)["all images: 90.00 % (n = 30)"][0] == pytest.approx([90, 90])
    matrix = judged.confusion_matrix(predictions.confusion(found))
    assert np.asarray(matrix.axes[0].images[0].get_array())[2] == pytest.approx([20, 0, 80])
    assert sorted(texts(matrix)) == ["10", "100", "20", "80", "90"]
    bins = predictions.calibration(found)
    reliable = judged.reliability(bins)
    heights = [bar.get_height() for bar in reliable.axes[0].patches]
    assert heights == pytest.approx([90.0])
    assert [bar.get_height() for bar in reliable.axes[1].patches] == [30]
    assert "30.00 points" in reliable.axes[0].get_title(loc="left")
    grid = judged.image_grid(predictions.pictures(found))
    shown = [axes for axes in grid.axes if axes.images]
    assert [axes.get_title()[0] for axes in shown] == ["✗", "✗", "✓", "✓", "✓"]
    assert np.array_equal(np.asarray(shown[0].images[0].get_array()), found.images[1])
    assert all("\nis class" in axes.get_title() for axes in shown[:2])


def test_predictions_travel_with_a_training_and_its_report(tmp_path: Path) -> None:
    found = judgements()
    folder = tmp_path / "run"
    export(reports.load(RESULTS / "googlenet_cifar_small"), folder)
    arrays = {name: getattr(found, name) for name in ("labels", "probabilities", "shown", "images")}
    np.savez(folder / "predictions.npz", classes=np.array(found.classes), **{"aux.3b": found.labels}, **arrays)
    loaded = reports.load(folder)
    assert loaded.predictions is not None
    assert loaded.predictions.classes == found.classes
    assert set(loaded.predictions.aux) == {"3b"}
    names = [name for name, _, _ in figures_of(loaded, tables_of(loaded))]
    assert names[-4:] == ["class_accuracy", "confusion", "reliability", "test_images"]
    export_to = tmp_path / "report"
    export(loaded, export_to)
    assert [name for name, _, _ in figures_of(reports.load(export_to), tables_of(loaded))] == names
    (folder / "predictions.npz").write_bytes(b"no archive")
    with pytest.raises(arch.InputError, match=r"predictions\.npz: cannot be read"):
        reports.load(folder)
    np.savez(folder / "predictions.npz", labels=found.labels)
    with pytest.raises(arch.InputError, match="lacks probabilities, classes, shown, images"):
        reports.load(folder)
    np.savez(folder / "predictions.npz", classes=np.array(found.classes[:2]), **arrays)
    with pytest.raises(arch.InputError, match="not of the same images and classes"):
        reports.load(folder)


def degenerate(run: Run) -> dict[str, Run]:
    trials, epochs = run.trials, run.epochs
    failed = trials.assign(state="failed", val_accuracy=None, val_loss=None)
    begun = {"ranked": trials.iloc[:0], "one": trials[trials["trial"].isin(["base", "13"])]}
    return {
        "nothing finished": replace(
            run, trials=begun["ranked"], epochs=epochs.iloc[:0], specs={"base": run.specs["base"]}
        ),
        "one trial": replace(run, trials=begun["one"], epochs=epochs[epochs["trial"].isin(["base", "13"])]),
        "one trial, no base": replace(
            run, trials=trials[trials["trial"] == "13"], epochs=epochs[epochs["trial"] == "13"]
        ),
        "all failed": replace(run, trials=failed, specs={}),
        "by loss": replace(run, config=run.config | {"objective": "val_loss"}),
        "one seed": replace(run_with(confirmation(base=BASE[:1], trial_1=BASE[:1])), trials=begun["one"]),
        "all missing": replace(run_with(confirmation(base=["", ""], trial_1=["failed", ""])), trials=begun["one"]),
    }


@pytest.mark.parametrize(
    "case", ["nothing finished", "one trial", "one trial, no base", "all failed", "by loss", "one seed", "all missing"]
)
def test_degenerate_runs_are_drawn_or_left_out(run: Run, case: str) -> None:
    poor = degenerate(run)[case]
    tables = tables_of(poor)
    found = {name: figure for name, _, figure in figures_of(poor, tables)}
    for figure in found.values():
        figure.draw_without_rendering()
    hovering = explored_of(poor, tables)
    assert set(hovering) <= set(found)
    if case in ("nothing finished", "all failed"):
        assert "accuracy_against_macs" not in found
    if case.startswith("one trial"):
        assert {"learning_curves", "accuracy_against_macs", "accuracy_against_params", "composition"} <= set(found)
    if case in ("one seed", "all missing"):
        assert "no verdict" in texts(found["confirmation"])[0]


def everything(run: Run) -> list[tuple[str, Any]]:
    """Each figure function with frames of long names, by width."""
    found = judgements(10, channels=1)
    long = {f"{LONG} {index}": [[40.0 + index, 60.0], [41.0 + index, 61.0]] for index in range(9)}
    shares = pd.DataFrame({"parameter": [LONG, "b"], "importance": [0.7, 0.3], "mdi": [0.6, 0.4]})
    compared = differences(**{LONG: (1.0, 0.5, "better"), "b": (0.1, 0.2, "inconclusive")})
    trained = pd.DataFrame({"name": ["base", LONG], "accuracy": [90.0, 91.0]})
    networks = frames.networks(run)
    return [
        ("learning curves", lambda w: curves.learning_curves(seeded(**long), "test accuracy (%)", w)),
        ("progress", lambda w: curves.search_progress(networks, "held-out accuracy (%)", width=w)),
        ("accuracy", lambda w: tradeoff.accuracy_against(networks, "params", "held-out accuracy (%)", width=w)),
        ("composition", lambda w: parts.composition(frames.compositions(run), w)),
        ("cost", lambda w: parts.cost_by_row(frames.row_costs({LONG: run.specs["base"], "b": run.specs["best"]}), w)),
        ("aux", lambda w: effects.aux_weights(frames.head_points(run, ["3b", "4b"]), w)),
        ("importance", lambda w: effects.importance(shares, w)),
        ("forest", lambda w: effects.forest(compared, w)),
        ("comparison", lambda w: effects.comparison(trained, compared, "test accuracy (%)", w)),
        ("classes", lambda w: judged.class_accuracy(predictions.by_class(found), w)),
        ("confusion", lambda w: judged.confusion_matrix(predictions.confusion(found), w)),
        ("reliability", lambda w: judged.reliability(predictions.calibration(found), w)),
        ("images", lambda w: judged.image_grid(predictions.pictures(found), w)),
    ]


@pytest.mark.parametrize("width", [TEXT, COLUMN])
def test_nothing_is_clipped_and_letters_do_not_grow_over_the_plot(run: Run, width: float) -> None:
    for name, draw in everything(run):
        figure = draw(width)
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        assert box.x0 >= -0.01, name
        assert box.width <= width + 0.01, name
        assert box.height <= figure.get_figheight() + 0.01, name
        plot = max(axes.get_position().width for axes in figure.axes)
        assert plot > (0.08 if name == "images" else 0.15), name


def test_series_are_told_apart_without_colour() -> None:
    looks = [look(index) for index in range(28)]
    assert len({(marker, dash) for _, marker, dash in looks}) == 28
    assert len({colour for colour, _, _ in looks[:7]}) == len(PALETTE) == 7


def test_long_names_keep_both_ends() -> None:
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcde…hijk"
    assert len(shortened(LONG, 17)) == 17


def test_interactive_figures_hold_the_same_data_and_no_template(run: Run) -> None:
    tables = tables_of(run)
    found = explored_of(run, tables)
    names = [name for name, _, _ in figures_of(run, tables)]
    assert set(found) == {"learning_curves", "accuracy_against_macs", "accuracy_against_params", "importance"}
    assert set(found) <= set(names)
    for figure in found.values():
        text = figure.to_json()
        assert '"template"' not in text
        assert len(text) < 6_000
    best = run.ranked.iloc[0]
    traces = {trace.name: trace for trace in found["accuracy_against_macs"].data}
    assert traces["best"].x[0] == pytest.approx(best["macs"] / 1e6, abs=1e-5)
    assert traces["best"].text[0] == f"trial {best['trial']}"
    assert len(traces["trials"].x) == len(run.ranked) - 1
    others = next(trace for trace in found["learning_curves"].data if trace.name.startswith("other"))
    assert len([x for x in others.x if x is not None]) == 2 * (len(run.ranked) - 1)
    confirmed = run_with(confirmation(base=BASE, trial_1=shifted(0.02)))
    (forest,) = explored_of(confirmed, tables_of(confirmed))["confirmation"].data
    assert (forest.name, list(forest.y)) == ("better", ["trial-1"])
    assert forest.x[0] + forest.error_x.array[0] == pytest.approx(
        next(t for t in tables_of(confirmed) if t.name == "confirmation_differences").frame["high"].iloc[0], abs=1e-4
    )


def test_names_in_interactive_figures_are_no_markup() -> None:
    text = hovering_curves(seeded(**{"<b>x</b>": [[1, 2], [2, 3]]}), "accuracy (%)").to_json()
    assert "<b>" not in text
    assert not re.search(r"\\u003c[b/]", text)
    assert "&lt;b&gt;x" in text


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.full(4, 9)},
        {"labels": np.full(4, -1)},
        {"labels": np.array(["a"] * 4)},
        {"probabilities": np.full((4, 2), np.nan)},
        {"probabilities": np.zeros(4)},
        {"shown": np.array([4])},
        {"images": np.zeros((1, 2))},
        {"aux.3a": np.full(4, 2)},
    ],
)
def test_predictions_that_cannot_be_are_refused(change: dict[str, np.ndarray], tmp_path: Path) -> None:
    held = {
        "labels": np.array([0, 1, 0, 1]),
        "probabilities": np.full((4, 2), 0.5),
        "classes": np.array(["a", "b"]),
        "shown": np.array([3]),
        "images": np.zeros((1, 2, 2, 3), np.uint8),
    }
    np.savez(tmp_path / "predictions.npz", **held)
    assert len(Predictions.read(tmp_path / "predictions.npz").labels) == 4
    np.savez(tmp_path / "predictions.npz", **held | change)
    with pytest.raises(arch.InputError, match=r"predictions\.npz: its arrays are not of the same images and classes"):
        Predictions.read(tmp_path / "predictions.npz")
