"""The figures of a run: which there are, drawn from its frames and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from reports.figures import architecture, curves, importance, predicted, tradeoff
from reports.figures.style import TEXT, footnote
from reports.runs import frames, predictions
from reports.runs.run import Run
from reports.tables.insight import HYPERVOLUME, aux_heads, distribution, hypervolume_by_trial, whose
from reports.tables.paired import JUDGED, comparison_protocol
from reports.tables.protocol import label, protocol
from reports.tables.table import Table
from search.record.predictions import Predictions

Drawn = tuple[str, str, Figure]
_CONFIRMED = ("confirmation", "confirmation_curves")  # figures that tell of a confirmation's trainings


def figures_of(run: Run, tables: Sequence[Table], width: float = TEXT) -> Iterator[Drawn]:
    """Yield (name, caption, figure) for everything that a run with these tables has to show.

    `width` is in inches: `reports.figures.style.TEXT` is the text of most papers, `COLUMN` a column of two.
    """
    for name, caption, figure in _drawn(run, {table.name: table for table in tables}, width):
        compared = run.ablation or (run.confirmation if name in _CONFIRMED else None)
        footnote(figure, comparison_protocol(compared) if compared else protocol(run))
        yield name, caption, figure


def _drawn(run: Run, tables: dict[str, Table], width: float) -> Iterator[Drawn]:
    yield from _compared(run, tables, width)
    found = frames.curves(run)
    if not found.empty:
        caption = "Learning curves; band: least to most of the seeds." if run.ablation else "Learning curves."
        yield "learning_curves", caption, curves.learning_curves(found, frames.curves_label(run), width)
    if run.kind == "study" and not run.ranked.empty:
        yield from _searched(run, tables, width)
    yield from _built(run, width)
    if run.predictions:
        yield from _predicted(run.predictions, width)


def _compared(run: Run, tables: dict[str, Table], width: float) -> Iterator[Drawn]:
    captions = {
        "confirmation": "The best networks and the base, trained again with fresh seeds.",
        "ablation": "The base and its changes, trained with the same seeds.",
    }
    for name, of in (("confirmation", run.confirmation), ("ablation", run.ablation)):
        if of and f"{name}_differences" in tables:
            told = tables[f"{name}_runs"].frame, tables[f"{name}_differences"].frame
            figure = importance.comparison(*told, f"{JUDGED[of.judged]} accuracy (%)", width)
            yield name, captions[name], figure
    if run.confirmation:
        found = frames.confirmation_curves(run)
        if not found.empty:
            caption = "Learning curves of the confirmation's trainings; band: least to most of the seeds."
            yield "confirmation_curves", caption, curves.learning_curves(found, "train accuracy (%)", width)


def _searched(run: Run, tables: dict[str, Table], width: float) -> Iterator[Drawn]:
    networks, minimise, said = frames.networks(run), run.objective == "val_loss", label(run)
    against = {"macs": run.config.get("max_macs"), "params": None}
    for cost, limit in against.items():
        if networks[cost].notna().all():
            caption = f"What each network cost in {'MACs' if cost == 'macs' else 'parameters'}, and how it did."
            figure = tradeoff.accuracy_against(networks, cost, said, minimise, limit, width)
            yield f"accuracy_against_{cost}", caption, figure
    yield "search_progress", "How the search went.", curves.search_progress(networks, said, minimise, width)
    if "front" in tables:
        yield "hypervolume", HYPERVOLUME, curves.hypervolume(hypervolume_by_trial(run), width)
    if "distribution" in tables:
        steps = distribution(run).assign(value=lambda frame: frames.scale(run) * frame["value"])
        caption = f"How good the trials are. {whose(run)}"
        yield "distribution", caption, tradeoff.distribution(steps, networks, said, width)
    if "aux_effect" in tables:
        points = frames.head_points(run, aux_heads(run))
        caption = "Auxiliary weights, and what the network and its heads reached."
        yield "aux_effect", caption, importance.aux_weights(points, width)
    if "importance" in tables:
        caption = "Which parameters mattered in this search."
        yield "importance", caption, importance.importance(tables["importance"].frame, width)
    shares = frames.compositions(run)
    if not shares.empty:
        caption = "How the best networks divide their channels among the branches, beside the base and GoogLeNet."
        yield "composition", caption, architecture.composition(shares, width)


def _built(run: Run, width: float) -> Iterator[Drawn]:
    """Yield what the networks cost row by row, where they have the same rows."""
    specs = {f"{name}: {spec.name}" if name == "base" else name: spec for name, spec in run.specs.items()}
    if specs and len({tuple(row.name for row in spec.rows) for spec in specs.values()}) == 1:
        caption = "What each row costs, auxiliary heads apart."
        yield "cost_by_row", caption, architecture.cost_by_row(frames.row_costs(specs), width)


def _predicted(found: Predictions, width: float) -> Iterator[Drawn]:
    yield "class_accuracy", "Test accuracy by class.", predicted.class_accuracy(predictions.by_class(found), width)
    yield "confusion", "What was taken for what.", predicted.confusion_matrix(predictions.confusion(found), width)
    caption = "Accuracy by confidence, in bins of equal width (ECE: Guo et al. 2017)."
    yield "reliability", caption, predicted.reliability(predictions.calibration(found), width)
    if len(found.shown):
        caption = (
            "Test images and what they were taken for, the wrong ones first: chosen to show errors, no fair sample."
        )
        yield "test_images", caption, predicted.image_grid(predictions.pictures(found), width)
