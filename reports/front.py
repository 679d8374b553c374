"""The front of a study of several objectives: the networks that no other one beats in everything."""

from __future__ import annotations

import pandas as pd

from reports.load import Run
from reports.protocol import protocol
from reports.table import Format, Table, decimals, percent, whole
from search.record import BASE

_SHOWN: dict[str, tuple[str, Format]] = {
    "val_accuracy": ("held-out accuracy (%)", percent),
    "val_loss": ("held-out loss", decimals(4)),
    "latency": ("ms an image", decimals(4)),
    "macs": ("MACs", whole),
    "params": ("parameters", whole),
}


def front_table(run: Run) -> Table | None:
    """The front, best in the first objective first, with the base beside it; None before a trial has ended."""
    if run.front.empty:
        return None
    names = [*run.objectives.names, *(n for n in ("macs", "params") if n not in run.objectives.names)]
    rows = [run.front, run.trials[(run.trials["trial"] == BASE) & (run.trials["state"] == "complete")]]
    found = pd.concat(rows).reindex(columns=["trial", *names])
    frame = pd.DataFrame({"trial": found["trial"]} | {_SHOWN[name][0]: found[name] for name in names})
    caption = f"{run.name}: the front of {len(run.ranked)} trained networks, and the base"
    formats = {header: show for header, show in _SHOWN.values() if header in frame}
    notes = [] if "latency" not in names else [_latency_note(run)]
    return Table("objectives", caption, frame.reset_index(drop=True), formats, (*notes, *protocol(run)))


def _latency_note(run: Run) -> str:
    """Return how the latencies were taken."""
    first = run.front.iloc[0]
    threads = f", {int(first['latency_threads'])} thread(s)" if first["latency_threads"] else ""
    return (
        f"Latency: median forward time over batches of {int(first['latency_batch'])} images on "
        f"{first['latency_device']}{threads}, taken as each training ended, beside whatever else ran."
    )
