"""The front of a study of several objectives: the networks that no other one beats in everything."""

from __future__ import annotations

import pandas as pd

from reports.runs.run import Run
from reports.tables.protocol import protocol
from reports.tables.run_tables import run_table
from reports.tables.table import Table, decimals, macs_head
from search.record.layout import BASE
from search.record.objectives import OBJECTIVES


@run_table(order=90, of=("study",))
def front_of_objectives(run: Run) -> Table | None:
    """The front of several objectives, best in the first one first, and the base; None before a trial has ended."""
    if len(run.objectives) < 2 or run.front.empty:
        return None
    costs = [name for name in ("macs", "params", "activations") if name in run.trials]
    names = [*run.objectives.names, *(name for name in costs if name not in run.objectives.names)]
    rows = [run.front, run.trials[(run.trials["trial"] == BASE) & (run.trials["state"] == "complete")]]
    found = pd.concat(rows).reindex(columns=["trial", *names])
    known = {o.name: o for o in (*run.objectives.each, *map(OBJECTIVES.get, costs))}
    heads = {name: (known[name].header, known[name].factor) for name in names} | {"macs": macs_head(found["macs"])}
    columns = {name: (found[name].astype(float) * heads[name][1]).round(9) for name in names}
    return Table(
        "objectives",
        f"{run.name}: the front of {len(run.ranked)} trained networks, and the base",
        pd.DataFrame({"trial": found["trial"]} | columns).reset_index(drop=True),
        {name: decimals(known[name].digits) for name in names},
        (*([_latency_note(run)] if "latency" in names else []), *protocol(run)),
        {name: heads[name][0] for name in names},
        sources=run.folders(found),
    )


def _latency_note(run: Run) -> str:
    """Return how the latencies were taken."""
    first = run.front.iloc[0]
    threads = f", {int(first['latency_threads'])} thread(s)" if first["latency_threads"] else ""
    return (
        f"Latency: median forward time over batches of {int(first['latency_batch'])} images on "
        f"{first['latency_device']}{threads}, taken as each training ended, with other work on the machine."
    )
