"""How well the sampler `surrogate` ranked networks at each proposal, and what came of what it promised."""

from __future__ import annotations

import math

from reports.runs.run import Run
from reports.stats import spearman
from reports.tables.protocol import label, protocol
from reports.tables.run_tables import run_table
from reports.tables.table import Table

_PREFIX = "surrogate."


@run_table(order=76, of=("study",))
def surrogate(run: Run) -> Table | None:
    """The surrogate's rank correlation at each proposal, whether it proposed, and expected and trained values."""
    if f"{_PREFIX}networks" not in run.trials:
        return None
    columns = ["networks", "rank_correlation", "proposes", "expected", "sd"]
    trials = run.trials[run.trials[f"{_PREFIX}networks"].notna()]
    frame = trials.reindex(columns=["trial", *(_PREFIX + column for column in columns), run.objective])
    frame = frame.rename(columns=lambda column: str(column).removeprefix(_PREFIX)).reset_index(drop=True)
    proposed = frame["proposes"].astype(bool)
    done = frame[proposed & frame[run.objective].notna()]
    frame["proposes"] = proposed.map({True: "yes", False: "no"})
    rho, (low, high) = spearman(done["expected"].astype(float).tolist(), done[run.objective].astype(float).tolist())
    came = f"{rho:+.2f} ({low:+.2f} to {high:+.2f})" if math.isfinite(rho) else "not known"
    notes = (
        f"Rank correlation: Spearman's, of each network predicted from all others with what was trained. In a race what "
        f"is expected is the gain over the base in points. Of {len(done)} proposals that were trained, expected and "
        f"trained values rank with {came}; their scores are noisy, and they lie close together, as all were promising.",
        *protocol(run),
    )
    signed = dict.fromkeys(("rank_correlation", "expected"), "{:+.2f}".format)
    return Table(
        "surrogate",
        f"{run.name}: what the surrogate knew, and {label(run)}",
        frame,
        {**signed, "networks": "{:.0f}".format, "sd": "{:.2f}".format, run.objective: "{:.4g}".format},
        notes,
        {"rank_correlation": "rank correlation", "sd": "its sd"},
        sources=run.folders(trials),
    )
