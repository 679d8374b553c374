"""What cheap figures of untrained networks say of the trained ones."""

from __future__ import annotations

import pandas as pd

from reports.runs.run import Run
from reports.stats import spearman
from reports.tables.candidates import standings
from reports.tables.paired import INTERVAL
from reports.tables.protocol import label, protocol
from reports.tables.run_tables import run_table
from reports.tables.table import Table
from reports.tables.trace import gathered

_PREFIX = "proxies."
_COUNTS = ("activations", "params", "macs")  # cheaper still: a proxy that says no more than these is of no use


@run_table(order=75, of=("study",))
def proxies(run: Run) -> Table | None:
    """How each proxy of an untrained network, and its size, goes with what was trained, over the trials."""
    ranked = run.ranked.reset_index(drop=True)
    columns = [str(column) for column in ranked if str(column).startswith(_PREFIX)]
    if not columns and (run.standing is None or ranked.empty):
        return None
    score, title = _scores(run, ranked)
    rows = []
    for column in [*columns, *(count for count in _COUNTS if count in ranked)]:
        known = ranked[column].notna() & score.notna()
        rho, (low, high) = spearman(ranked[column][known].astype(float).tolist(), score[known].tolist())
        rows.append(
            {"figure": column.removeprefix(_PREFIX), "n": int(known.sum()), "rho": rho, "low": low, "high": high}
        )
    note = (
        f"Spearman's rank correlation of figures of the untrained network with {title}, turned so that more is "
        "better; intervals by Fisher's z (Bonett and Wright 2000), not adjusted for their number. The trials are a "
        "sampler's, and their scores are noisy: both lower it."
    )
    return Table(
        "proxies",
        f"{run.name}: proxies and {title}",
        pd.DataFrame(rows),
        dict.fromkeys(("rho", "low", "high"), "{:+.2f}".format),
        (note, *protocol(run)),
        INTERVAL,
        sources=[gathered(run.folders(ranked))] * len(rows),
    )


def _scores(run: Run, ranked: pd.DataFrame) -> tuple[pd.Series, str]:
    """Return what figures are held against, and its name: of a race the expected gain, else the objective."""
    if run.standing:
        gains = standings(run).set_index("candidate")["expected"]
        return gains.reindex(ranked["trial"]).reset_index(drop=True), "the expected gain (points)"
    return (-1 if run.objectives.minimise else 1) * ranked[run.objective].astype(float), label(run)
