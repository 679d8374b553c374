"""Does a sampler learn anything from its trials? TPE beside random sampling, without any training.

The space is the splits of all rows of googlenet_cifar_small at equal MACs (`iso_macs`, 30 parameters). The objective
knows a hidden split, drawn from the same space by a seed, and looks at the finished network, rounded and solved:

    d      for each row, the differences of the logarithms of six proportions (four branches by the row's output,
           two reductions by the width behind them) from those of the hidden split
    value  -(mean of d * d + half the mean of d[row] * d[next row])

so that a row's best split depends on its neighbours. The value is 0 at the hidden split and below 0 elsewhere; the
regret after n trials is how far below 0 the best of them is. Every sampler gets the same hidden splits, one a seed.
The comparison that was chosen in advance is Optuna's TPE at its defaults after 100 trials; the variants are there to
see whether its options matter.

    python -m benchmarks.samplers --seeds 20 --trials 100     # to docs/results/performance/samplers.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from scipy.stats import wilcoxon

import arch
import search
from arch.specs.edit import searchable, split_of
from search.data.batches import mix
from search.record.environment import environment
from search.record.files import write_json
from search.space.candidates import Candidate, decode
from search.space.choosers import Sampled
from search.space.space import Space

RESULT = Path(__file__).parents[1] / "docs" / "results" / "performance" / "samplers.json"
SPACE = Space.model_validate({"splits": {"mode": "iso_macs", "round": 8, "minimum": 8, "reduce": [0.25, 1.0]}})
NETWORK = "googlenet_cifar_small"
RANDOM = "random"
SAMPLERS: Mapping[str, tuple[Callable[..., BaseSampler], Mapping[str, Any]]] = {
    RANDOM: (RandomSampler, {}),
    "tpe": (TPESampler, {}),
    "tpe, univariate": (TPESampler, {"multivariate": False}),
    "tpe, 25 startup trials": (TPESampler, {"n_startup_trials": 25}),
    "tpe, univariate, 25 startup trials": (TPESampler, {"multivariate": False, "n_startup_trials": 25}),
    "tpe, 96 candidates": (TPESampler, {"n_ei_candidates": 96}),
}


def proportions(spec: arch.Spec) -> numpy.ndarray:
    """Return the logarithms of each searchable row's proportions, (rows, 6)."""
    splits = [split_of(row) for row in searchable(spec)]
    shares = [
        [part / s.out for part in (s.b1x1, s.b3x3.out, s.b5x5.out, s.pool)]
        + [part.reduce / part.out for part in (s.b3x3, s.b5x5)]
        for s in splits
    ]
    return numpy.log(shares)


def value(spec: arch.Spec, hidden: numpy.ndarray) -> float:
    """Return the objective of a network beside the proportions of the hidden split."""
    d = proportions(spec) - hidden
    return float(-(numpy.mean(d * d) + numpy.mean(d[:-1] * d[1:]) / 2))


def proposed(study: optuna.Study) -> tuple[optuna.Trial, Candidate]:
    """Ask for a trial and decode it."""
    trial = study.ask()
    return trial, decode(SPACE, arch.load(NETWORK), search.load_recipe("default"), Sampled(trial))


def regrets(sampler: BaseSampler, hidden: numpy.ndarray, trials: int) -> list[float]:
    """Return the regret after each trial of one study; what is infeasible costs a trial and tells nothing."""
    study = optuna.create_study(sampler=sampler, direction="maximize")
    best, found = -numpy.inf, []
    for _ in range(trials):
        trial, candidate = proposed(study)
        if candidate.infeasible:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            reached = value(candidate.spec, hidden)
            study.tell(trial, reached)
            best = max(best, reached)
        found.append(-best)
    return found


def hidden_split(seed: int) -> numpy.ndarray:
    """Return the proportions that the objective of a seed hides."""
    study = optuna.create_study(sampler=RandomSampler(seed=mix(seed, -1) % 2**32))
    while True:
        candidate = proposed(study)[1]
        if not candidate.infeasible:
            return proportions(candidate.spec)


def compare(names: Sequence[str], seeds: int, trials: int) -> dict[str, list[list[float]]]:
    """Return each sampler's regrets, one list a seed."""
    result: dict[str, list[list[float]]] = {name: [] for name in names}
    for seed in range(seeds):
        hidden = hidden_split(seed)
        for name in names:
            kind, options = SAMPLERS[name]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                sampler = kind(seed=mix(seed, 0) % 2**32, **options)
            result[name].append(regrets(sampler, hidden, trials))
    return result


def summary(found: Mapping[str, list[list[float]]], trials: int) -> dict[str, Any]:
    """Return medians and quartiles of the regret, and each sampler beside random, paired by seed."""
    last = {name: [curve[-1] for curve in curves] for name, curves in found.items()}
    result: dict[str, Any] = {}
    for name, curves in found.items():
        quartiles = {
            f"after {n}": [round(q, 4) for q in statistics.quantiles([c[n - 1] for c in curves], n=4)]
            for n in sorted({max(1, trials // 4), max(1, trials // 2), trials})
        }
        result[name] = {"options": dict(SAMPLERS[name][1]), "regret quartiles": quartiles}
        if name != RANDOM:
            result[name] |= {
                "seeds better than random": sum(a < b for a, b in zip(last[name], last[RANDOM], strict=True)),
                "wilcoxon p, two-sided": float(wilcoxon(last[name], last[RANDOM]).pvalue),
            }
        result[name]["regrets by seed"] = [round(regret, 4) for regret in last[name]]
    return result


def main() -> None:
    """Run the comparison and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = compare(list(SAMPLERS), options.seeds, options.trials)
    result = summary(found, options.trials)
    command = f"python -m benchmarks.samplers --seeds {options.seeds} --trials {options.trials}"
    about = {
        "command": command,
        "objective": __doc__.partition("\n\n    python")[0],
        "space": SPACE.model_dump(mode="json", exclude_defaults=True),
        "network": NETWORK,
        "seeds": list(range(options.seeds)),
        "trials": options.trials,
    }
    write_json(options.out, about | {"samplers": result, "environment": environment(threads=1)})
    for name, figures in result.items():
        q1, median, q3 = figures["regret quartiles"][f"after {options.trials}"]
        p = figures.get("wilcoxon p, two-sided")
        beside = "" if p is None else f", better in {figures['seeds better than random']}, p {p:.2g}"
        print(f"{name:<40} median regret {median:.3f} ({q1:.3f} to {q3:.3f}){beside}", file=sys.stdout)


if __name__ == "__main__":
    main()
