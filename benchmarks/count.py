"""How long a network's cost takes: from the spec, by fvcore, and by torch's FlopCounterMode.

    python -m benchmarks.count --to result.json

From the spec: `arch.cost` on a loaded spec, cold (every cache empty), after an edit of one row that keeps its
width, and after one that changes it; the edit itself is not counted. The others count a network that is
built already. Medians, with the tenth and ninetieth percentile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch.utils.flop_counter import FlopCounterMode

import arch
from arch import nodes
from arch.analysis import shapes
from arch.modules.fvcore_check import check
from arch.specs.edit import searchable, split_of, with_args
from search.record.environment import environment

CACHED = [value for module in (nodes, shapes) for value in vars(module).values() if hasattr(value, "cache_clear")]


def timed(calls: Iterable[Callable[[], Any]]) -> dict[str, float]:
    """Return the median, the tenth and the ninetieth percentile of each call's time, in ms."""
    found = []
    for call in calls:
        start = time.perf_counter()
        call()
        found.append((time.perf_counter() - start) * 1e3)
    tenths = statistics.quantiles(found, n=10)
    return {"median": statistics.median(found), "p10": tenths[0], "p90": tenths[-1], "n": len(found)}


def cold(spec: arch.Spec, times: int) -> Iterable[Callable[[], Any]]:
    """Yield calls that each find all caches empty."""
    for _ in range(times):
        for cached in CACHED:
            cached.cache_clear()
        yield lambda: arch.cost(spec)


def edits(spec: arch.Spec, times: int, keep: bool) -> Iterable[Callable[[], Any]]:
    """Yield counts of specs with one searchable row changed, each for the first time; with `keep` at its old width."""
    arch.cost(spec)
    rows = searchable(spec)
    for number in range(times):
        row = rows[number % len(rows)]
        reduce, out = split_of(row).b3x3
        step = 1 + number // len(rows)
        edited = with_args(spec, row.name, {"b3x3": [reduce + step, out] if keep else [reduce, out + step]})
        yield lambda edited=edited: arch.cost(edited)


def measure(name: str) -> dict[str, Any]:
    """Return all times of a network, and what each way counts."""
    spec = arch.load(name)
    ours = {
        "cold": timed(cold(spec, 200)),
        "one row edited, width kept": timed(edits(spec, 200, keep=True)),
        "one row edited, width changed": timed(edits(spec, 200, keep=False)),
    }
    network = arch.build(spec).eval()
    image = torch.zeros(1, *spec.input)

    def by_fvcore() -> None:
        FlopCountAnalysis(network, (image,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()

    def by_torch() -> None:
        with FlopCounterMode(display=False), torch.no_grad():
            network(image)

    assert all(count.agrees for count in check(spec).counts)
    others = {"fvcore": timed([by_fvcore] * 11), "FlopCounterMode": timed([by_torch] * 11)}
    return {"network": name, "macs": arch.cost(spec).macs, "ms": ours | others}


def main() -> None:
    """Print a table, and write the results where `--to` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["googlenet_cifar_small", "googlenet"])
    parser.add_argument("--to", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {"environment": environment(), "results": [measure(name) for name in options.networks]}
    for result in results["results"]:
        print(f"{result['network']}: {result['macs']:,} MACs, ms (tenth to ninetieth percentile)")
        for what, ms in result["ms"].items():
            print(f"  {what:32} {ms['median']:9.4f}   {ms['p10']:.4f} to {ms['p90']:.4f}   n = {ms['n']}")
    if options.to:
        options.to.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
