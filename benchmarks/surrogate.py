"""Is the sampler `surrogate` worth its name? What its prediction ranks on records, and what it gains in simulated studies.

    records      each network is predicted from all others of its record: Spearman's correlation with what was trained,
                 by ridge regression and by Gaussian processes, with all figures, each group alone, and all but it
    chance       how often networks whose values say nothing (shuffled ones) reach the threshold
    simulation   studies of 40 trainings in the real space of splits at equal MACs, with noise as large as the spread
                 of random candidates; the five best get four more each, and the best of these by its mean is chosen

Two truths are simulated. `hidden` is that of `benchmarks.samplers`: the distance to a hidden split, with interactions
of neighbouring rows, which the figures only hint at. `recorded` is a forest of 300 trees that learnt the 80 networks
of iso_splits_random and iso_splits_tpe from every row's proportions and the activations. Values are in standard
deviations of random candidates above their mean.

    python -m benchmarks.surrogate --seeds 12        # to docs/results/search/surrogate.json
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas
from scipy.stats import spearmanr, wilcoxon
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import arch
import search
from arch.registry import Reduced
from arch.specs.edit import Split, searchable, with_family, with_split
from benchmarks.curves import candidate as of_curves
from benchmarks.samplers import NETWORK, SPACE, hidden_split, proportions, value
from search.data.batches import mix
from search.record.environment import environment
from search.record.files import write_json
from search.sampling.figures import Figures, figures
from search.sampling.prediction import Known
from search.space.candidates import decode
from search.space.choosers import Sampled
from search.statistics.score import scores
from search.study.config import load_study
from search.study.proposer import Proposer

RESULTS = Path(__file__).parents[1] / "docs" / "results"
STUDIES = ("iso_splits_random", "iso_splits_tpe", "iso_families_tpe")
SCORES = ("val_accuracy", "loss_and_training")
SAMPLERS = ("random", "mixture", "surrogate")
GROUPS: Mapping[str, str] = {
    "activations, parameters": "activations|params",
    "MACs by map": "macs at .*",
    "branches": "1x1|3x3|5x5|pool",
    "reductions": "reduce .*",
    "families": "family .*",
}
TRIALS, LEADERS, FURTHER = 40, 5, 4

Truth = Callable[[arch.Spec], float]
Record = tuple[list[arch.Spec], dict[str, np.ndarray]]


def of_study(name: str) -> Record:
    """Return the networks of a study's trials and their scores."""
    table = pandas.read_csv(RESULTS / name / "trials.csv")
    table = table[(table.state == "complete") & (table.trial != "base") & table.duplicate_of.isna()]
    base = arch.load(NETWORK)
    specs = []
    for _, trial in table.iterrows():
        spec = base
        for row in searchable(base):
            family, *numbers = re.findall(r"\w+", trial[f"row.{row.name}"])
            b1x1, r3, b3, r5, b5, pool = map(int, numbers[-6:])
            spec = with_split(
                with_family(spec, family, [row.name]), row.name, Split(b1x1, Reduced(r3, b3), Reduced(r5, b5), pool)
            )
        assert arch.cost(spec).macs == trial.macs, f"{name}, trial {trial.trial}"
        specs.append(spec)
    return specs, _scores(table)


def of_the_curves(epoch: int) -> Record:
    """Return the networks of the recorded learning curves, and their scores after an epoch."""
    table = pandas.read_csv(RESULTS / "curves" / "curves.csv")
    table = table[table.epoch == epoch]
    return [of_curves(number) for number in table.candidate], _scores(table)


def _scores(table: pandas.DataFrame) -> dict[str, np.ndarray]:
    rows: Any = table[["val_accuracy", "val_loss", "train_accuracy"]].to_dict("records")
    return {name: scores(rows, name) for name in SCORES}


def models(features: int) -> dict[str, Any]:
    """Return the regressions that are compared, for standardised figures and values."""
    linear = ConstantKernel(0.01, (1e-5, 10.0)) * DotProduct(0, "fixed")
    bent = ConstantKernel(0.3, (1e-3, 100.0)) * RBF(features**0.5, (1.0, 1e3))
    noise = WhiteKernel(0.5, (1e-2, 10.0))
    return {
        "ridge": BayesianRidge(),
        "Gaussian process, RBF": GaussianProcessRegressor(bent + noise, random_state=0),
        "Gaussian process, linear and RBF": GaussianProcessRegressor(linear + bent + noise, random_state=0),
    }


def ranks(model: Any, known: Sequence[Figures], y: np.ndarray) -> float:
    """Return the rank correlation of a model's predictions of each network from the others."""
    y = (y - y.mean()) / y.std()
    pipeline = make_pipeline(DictVectorizer(sparse=False), StandardScaler(), model)
    predicted = cross_val_predict(pipeline, known, y, cv=LeaveOneOut())
    beyond = predicted + y / (len(y) - 1)  # the mean of the others
    return float(spearmanr(beyond, y).statistic) if np.ptp(beyond) > 1e-9 else np.nan


def on_records() -> dict[str, Any]:
    """Return the rank correlations on each record: of models, and of groups of figures by ridge."""
    records = {name: of_study(name) for name in STUDIES}
    records |= {f"curves, epoch {epoch}": of_the_curves(epoch) for epoch in (1, 9)}
    result: dict[str, Any] = {}
    for name, (specs, found) in records.items():
        known = [figures(spec) for spec in specs]
        names = sorted({figure for each in known for figure in each})
        result[name] = {"networks": len(specs)}
        for score, y in found.items():
            about = {model: ranks(how, known, y) for model, how in models(len(names)).items()}
            about["activations themselves"] = float(spearmanr([each["activations"] for each in known], y).statistic)
            for group, pattern in GROUPS.items():
                for label, keeps in (("only", True), ("without", False)):
                    kept = [
                        {k: v for k, v in each.items() if bool(re.fullmatch(pattern, k)) is keeps} for each in known
                    ]
                    about[f"{label} {group}"] = ranks(BayesianRidge(), kept, y)
            result[name][score] = {key: round(rho, 3) for key, rho in about.items() if np.isfinite(rho)}
    return result


def by_chance(draws: int, threshold: float) -> dict[str, float]:
    """Return how often shuffled values of so many networks reach the threshold."""
    specs, found = of_study("iso_splits_random")
    known, y, rng = [figures(spec) for spec in specs], found[SCORES[0]], np.random.default_rng(0)
    result = {}
    for amount in (15, 25, 40):
        rho = [
            Known(known[:amount], rng.permutation(y)[:amount], np.ones(amount)).rank_correlation() for _ in range(draws)
        ]
        result[str(amount)] = float(np.mean(np.array(rho) >= threshold))
    return result


def recorded_truth(seed: int) -> Truth:
    """Return a forest's prediction, learnt from two recorded studies."""
    pairs = [of_study(name) for name in STUDIES[:2]]
    forest = RandomForestRegressor(300, min_samples_leaf=2, random_state=seed)
    forest.fit(
        [_of_rows(spec) for specs, _ in pairs for spec in specs], np.concatenate([y[SCORES[1]] for _, y in pairs])
    )
    return lambda spec: float(forest.predict([_of_rows(spec)])[0])


def _of_rows(spec: arch.Spec) -> list[float]:
    return [*proportions(spec).ravel(), np.log(arch.cost(spec).activations)]


def hidden_truth(seed: int) -> Truth:
    """Return the objective of `benchmarks.samplers`."""
    hidden = hidden_split(seed)
    return lambda spec: value(spec, hidden)


def study_of(sampler: str, seed: int, truth: Truth, trials: int) -> tuple[list[float], list[float], list[Any]]:
    """Return the true values and scores of the candidates of one simulated study, and what the sampler recorded."""
    config = load_study(
        {"name": "simulated", "network": NETWORK, "data": "cifar10", "recipe": "default", "seed": seed}
        | {"space": SPACE.model_dump(), "objective": "val_accuracy", "sampler": {"name": sampler}, "trials": trials}
    )
    base, recipe, study = arch.load(NETWORK), search.load_recipe("default"), optuna.create_study(direction="maximize")
    proposer, rng, tried = Proposer(config, base, recipe, study), np.random.default_rng([seed, 1]), set[str]()
    true, seen, notes = [], [], []
    while len(true) < trials:
        trial = proposer.ask(tried)
        candidate = decode(config.space, base, recipe, Sampled(trial))
        if candidate.infeasible:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        tried.add(candidate.key)
        true.append(truth(candidate.spec))
        seen.append(true[-1] + float(rng.normal()))
        notes.append(trial.user_attrs.get("surrogate"))
        study.tell(trial, seen[-1])
    return true, seen, notes


def simulated(kind: Callable[[int], Truth], seed: int) -> dict[str, Any]:
    """Return what each sampler reaches with one truth: the chosen candidate, and its proposals after the first 15."""
    raw = kind(seed)
    middle = study_of("random", mix(seed, 7) % 2**31, raw, TRIALS)[0]
    mean, sd = float(np.mean(middle)), float(np.std(middle))
    result: dict[str, Any] = {}
    for sampler in SAMPLERS:
        true, seen, notes = study_of(sampler, seed, lambda spec: (raw(spec) - mean) / sd, TRIALS)
        rng = np.random.default_rng([seed, 2])
        leaders = np.argsort(seen)[-LEADERS:]
        again = {i: np.mean([seen[i], *(true[i] + rng.normal(size=FURTHER))]) for i in leaders}
        result[sampler] = {"chosen": true[max(again, key=lambda i: again[i])], "proposals": float(np.mean(true[15:]))}
        if known := [note for note in notes if note]:
            result[sampler]["proposes"] = float(np.mean([note["proposes"] for note in known]))
            result[sampler]["rank correlation"] = float(np.median([note["rank_correlation"] or 0 for note in known]))
    return result


def summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means over seeds, and the surrogate next to the others, paired by seeds."""
    table = pandas.json_normalize([dict(each) for each in found])
    result: dict[str, Any] = {"means": table.mean().round(3).to_dict()}
    for other in SAMPLERS[:2]:
        for what in ("chosen", "proposals"):
            gain = table[f"surrogate.{what}"] - table[f"{other}.{what}"]
            result[f"{what}, surrogate minus {other}"] = {
                "mean": round(float(gain.mean()), 3),
                "standard error": round(float(gain.sem()), 3),
                "better": f"{int((gain > 0).sum())} of {len(gain)}",
                "wilcoxon p, two-sided": float(wilcoxon(gain).pvalue),
            }
    return result | {"by seed": [dict(each) for each in found]}


def main() -> None:
    """Measure and write it down, after every seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=RESULTS / "search" / "surrogate.json")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")  # a Gaussian process says where its parameters reach their bounds
    result: dict[str, Any] = {"about": __doc__.partition("\n\n    python")[0], "records": on_records()}
    result["chance to reach 0.3, of 200 shuffles"] = by_chance(200, 0.3)
    result["environment"] = environment(threads=1)
    found: dict[str, list[Any]] = {"hidden": [], "recorded": []}
    kinds = {"hidden": hidden_truth, "recorded": recorded_truth}
    for seed in range(options.seeds):
        for name, kind in kinds.items():
            found[name].append(simulated(kind, seed))
            print(seed, name, found[name][-1], flush=True)
        if seed:
            write_json(options.out, result | {"simulation": {name: summary(each) for name, each in found.items()}})


if __name__ == "__main__":
    main()
