"""Why the searches of docs/results found nothing: noise, spread, luck and horizon, from the committed records.

No network is trained. What the records cannot say is listed in the result, under `not in the records`.

    seed noise         spread of test accuracy over seeds, by length
    searches           each study of 40 one-epoch trials: spread, reliability, and what can be expected of its best
    winners            where the seen gain of the confirmed winners went
    scores             how reliably each score tells networks apart
    early              how early epochs of the 48 curves rank the last one, costs removed
    families           what families do to accuracy, by epoch, on the same curves
    space              where the base stands among uniform draws
    plans              what was to be expected of the searches as they were, and of a race

    python -m benchmarks.diagnosis     # to docs/results/search/diagnosis.json
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import optuna
import pandas
from scipy import stats

import arch
import search
from arch.specs.edit import searchable, split_of
from benchmarks import curves
from search.record.environment import environment
from search.record.files import write_json
from search.space.candidates import decode
from search.space.choosers import Sampled
from search.statistics.effects import Training, Variances, estimate
from search.statistics.plans import RacePlan, Situation, simulate
from search.statistics.score import SCORES, reliabilities

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RESULT = RESULTS / "search" / "diagnosis.json"
STUDIES = Path(__file__).parents[1] / "studies"
SEARCHES = ("iso_splits_tpe", "iso_splits_random", "iso_families_tpe")
# The confirmed winners: the study that found each, its trial there, and its name in the confirmation.
WINNERS = {
    ("iso_splits_tpe", "5"): "trial-5",
    ("iso_splits_tpe", "13"): "trial-13",
    ("iso_splits_random", "25"): "iso_splits_random-trial-25",
    ("iso_families_tpe", "34"): "iso_families_tpe-trial-34",
    ("iso_families_tpe", "21"): "iso_families_tpe-trial-21",
}
HELD_OUT, TEST = 5_000, 10_000  # images
DRAWS = 2_000  # of uniform splits
EPOCHS = 340  # three hours on two cores, 63 core-seconds an epoch
ABSENT = {
    "noise of held-out accuracy": "every training with held-out images has seed 0; bounds follow from the test set's",
    "the base's second held-out training, 75.30": "no record; the searches trained the base once, with seed 0",
    "paired winners by epoch (+0.44 to -0.16)": "the confirmation judged the test set once, after the last epoch",
    "what predicts: activations, NASWOT, SynFlow, parameters": "not recorded in trials.csv; they need the networks built",
    "depth, three rows a stage": "no record of such networks",
    "a stem of 64 channels": "no record of these trainings",
    "the spread with macro axes": "no network with macro axes was trained before",
}


def trials(study: str) -> pandas.DataFrame:
    """Return the finished trials of a study, accuracies in points."""
    table = pandas.read_csv(RESULTS / study / "trials.csv", dtype={"trial": str})
    table = table[table.state == "complete"].set_index("trial")
    return table.assign(accuracy=100 * table.val_accuracy)


def repeated(study: str) -> pandas.DataFrame:
    """Return the trainings of an ablation or a confirmation, one a network and seed."""
    name = "confirm" if study == "iso_splits_tpe" else "ablation"
    table = pandas.read_csv(RESULTS / study / f"{name}.csv")
    return table.rename(columns={"confirmed": "network_name", "change": "network_name"})


def seed_noise() -> dict[str, dict[str, Any]]:
    """Return the spread of test accuracy over seeds by epochs, pooled over networks; points."""
    ours = [
        one
        for one in json.loads((RESULTS / "performance" / "accuracy.json").read_text())
        if (one["network"], one["recipe"]) == ("googlenet_cifar_small", "muon")
    ]
    groups: dict[int, list[list[float]]] = {}
    for epochs in {one["epochs"] for one in ours}:
        groups[epochs] = [[one["test_accuracy"] for one in ours if one["epochs"] == epochs]]
    tables = pandas.concat([repeated(study) for study in ("ablation_aux", "ablation_families", "iso_splits_tpe")])
    tables = tables.drop_duplicates(["key", "seed"])  # both ablations hold the trainings of one network
    for (epochs, _), part in tables.groupby(["epochs", "key"]):
        groups.setdefault(int(epochs), []).append(part.test_accuracy.tolist())
    return {str(epochs): pooled(found) for epochs, found in sorted(groups.items())}


def pooled(groups: list[list[float]]) -> dict[str, Any]:
    """Return the pooled standard deviation within groups in points, with its interval of 95 %."""
    freedom = sum(len(group) - 1 for group in groups)
    total = sum(float(numpy.var(group) * len(group)) for group in groups)
    ends = stats.chi2.ppf([0.975, 0.025], freedom)
    return {
        "sd": round(100 * math.sqrt(total / freedom), 3),
        "interval": [round(100 * math.sqrt(total / float(end)), 3) for end in ends],
        "trainings": sum(map(len, groups)),
        "networks": len(groups),
    }


def held_out_noise(test: float, accuracy: float) -> list[float]:
    """Return bounds of one-epoch noise on held-out images: as on the test set, or all of it images' own.

    If seeds flip images independently, at most p (1 - p) / n of the variance comes from the number of images.
    """
    images = 1e4 * accuracy * (1 - accuracy)
    own = min(test**2, images / TEST)
    return [round(test, 3), round(math.sqrt(test**2 - own + own * TEST / HELD_OUT), 3)]


def searches(noises: list[float]) -> dict[str, Any]:
    """Return for each study spread, reliability, and what was to be expected of its best, at both bounds of noise."""
    found: dict[str, Any] = {}
    for study in SEARCHES:
        table = trials(study)
        candidates = table.drop("base")
        seen = float(candidates.accuracy.std())
        found[study] = {
            "trials": len(candidates),
            "mean minus base": round(float(candidates.accuracy.mean() - table.accuracy["base"]), 3),
            "spread seen": round(seen, 3),
            "at noise": {str(noise): _expected(table, seen, noise) for noise in noises},
        }
    return found


def _expected(table: pandas.DataFrame, seen: float, noise: float) -> dict[str, Any]:
    """Return spread, reliability and the gain that `estimate` states for each of the three best."""
    variances = Variances(noise, math.sqrt(max(seen**2 - noise**2, 0.0)))
    trainings = [Training(str(name), 0, float(value)) for name, value in table.accuracy.items()]
    effects = estimate(trainings, "base", variances)
    best = [effects.of(effects.candidates[at]) for at in effects.order()[:3]]
    return {
        "spread": round(variances.between, 3),
        "reliability": round(variances.reliability, 3),
        "best": [
            {"trial": b.candidate, "seen": round(b.seen, 2), "gain": round(b.gain, 2), "chance": round(b.chance, 3)}
            for b in best
        ],
    }


def winners(noises: list[float]) -> dict[str, Any]:
    """Return where each winner's seen gain went: luck of the choice; the base's draw and the horizon are the rest."""
    confirmed = repeated("iso_splits_tpe").groupby("network_name").test_accuracy.mean() * 100
    found = {}
    for (study, trial), name in WINNERS.items():
        table = trials(study)
        seen = float(table.accuracy[trial] - table.accuracy["base"])
        away = float(table.accuracy[trial] - table.accuracy.drop("base").mean())
        spread = float(table.accuracy.drop("base").var())
        luck = [noise**2 / spread * away for noise in noises]
        after = float(confirmed[name] - confirmed["base"])
        found[f"{study}, trial {trial}"] = {
            "seen in the search": round(seen, 2),
            "confirmed at 3 epochs": round(after, 2),
            "luck": [round(one, 2) for one in luck],
            "base's draw and horizon": [round(seen - one - after, 2) for one in luck],
        }
    return found


def largest_of(noises: list[float], number: int = 40) -> dict[str, list[float]]:
    """Return the expected luck of the best of `number` draws in each study: its share of the noise, in points."""
    order = float(stats.norm.expect(lambda x: x * number * stats.norm.cdf(x) ** (number - 1)))
    spreads = {study: float(trials(study).drop("base").accuracy.std()) for study in SEARCHES}
    return {study: [round(order * noise**2 / sd, 2) for noise in noises] for study, sd in spreads.items()}


def scores() -> dict[str, list[dict[str, Any]]]:
    """Return each score's reliability by repeated trainings; on the test set, as nothing else was repeated."""
    found = {}
    for study, name in (("iso_splits_tpe", "confirmation, 3 epochs"), ("ablation_families", "families, 1 epoch")):
        table = repeated(study)
        figures = [
            {"val_accuracy": one.test_accuracy, "val_loss": one.test_loss, "train_accuracy": one.train_accuracy}
            for one in table.itertuples()
        ]
        each = reliabilities(figures, table.network_name.tolist(), (*SCORES, "train_accuracy"))
        found[name] = [
            one._asdict() | {"reliability": round(one.reliability, 3), "ratio": round(one.ratio, 2)} for one in each
        ]
    return found


def early() -> dict[str, dict[str, float]]:
    """Return Spearman's correlation of each figure at an epoch with held-out accuracy at the last, costs removed."""
    table = pandas.read_csv(RESULTS / "curves" / "curves.csv").pivot(index="candidate", columns="epoch")
    last = int(table.val_accuracy.columns.max())
    logs = numpy.log(table.macs[last])
    end = _residual(table.val_accuracy[last], logs)
    figures = {"val_accuracy": 1, "val_loss": -1, "train_accuracy": 1}
    return {
        str(epoch): {
            name: round(float(stats.spearmanr(_residual(sign * table[name][epoch], logs), end).statistic), 2)
            for name, sign in figures.items()
        }
        for epoch in range(1, last)
    }


def _residual(values: pandas.Series, logs: pandas.Series) -> numpy.ndarray:
    return numpy.asarray(values - numpy.polyval(numpy.polyfit(logs, values, 1), logs))


def families() -> dict[str, dict[str, list[float]]]:
    """Return what a family in one stage does to held-out accuracy against v1, first and last epoch: points and error.

    Least squares on the families of the stages and the logarithm of MACs, over the 48 curves.
    """
    table = pandas.read_csv(RESULTS / "curves" / "curves.csv")
    stages = {number: _stages(int(number), spec) for number, spec in table.groupby("candidate").spec_id.first().items()}
    terms = list(itertools.product("345", ("inception_v2", "inception_v3", "inception_residual")))
    found = {}
    for epoch in (1, int(table.epoch.max())):
        part = table[table.epoch == epoch]
        design = numpy.array(
            [
                [1.0, math.log(one.macs), *(stages[one.candidate][stage] == family for stage, family in terms)]
                for one in part.itertuples()
            ],
            dtype=float,
        )
        y = 100 * part.val_accuracy.to_numpy()
        solution, residual, *_ = numpy.linalg.lstsq(design, y, rcond=None)
        errors = numpy.sqrt(numpy.diag(numpy.linalg.inv(design.T @ design)) * residual[0] / (len(y) - len(solution)))
        effects = zip(terms, solution[2:], errors[2:], strict=True)
        found[f"epoch {epoch}"] = {
            f"{family}, stage {stage}": [round(float(effect), 2), round(float(error), 2)]
            for (stage, family), effect, error in effects
        }
    return found


def _stages(number: int, spec_id: str) -> dict[str, str]:
    """Return the family of each stage of a network of the curves, which is drawn again."""
    spec = curves.candidate(number)
    if spec.id != spec_id:
        raise ValueError(f"The curves' networks are drawn again; number {number} is {spec.id} now and was {spec_id}.")
    return {row.name[0]: row.block for row in searchable(spec)}


def space() -> dict[str, Any]:
    """Return the base's shares of 3x3 and pool, means over rows, and their percentiles among uniform draws."""
    study = search.load_study(STUDIES / "iso_splits_random.yaml")
    base, recipe = arch.load("googlenet_cifar_small"), search.load_recipe("muon")
    proposals = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(DRAWS):
        candidate = decode(study.space, base, recipe, Sampled(proposals.ask()))
        if not candidate.infeasible:
            drawn.append(_shares(candidate.spec))
    own, among = _shares(base), numpy.array(drawn)
    return {"draws": len(among)} | {
        name: {"base": round(own[at], 3), "percentile": round(100 * float((among[:, at] < own[at]).mean()), 2)}
        for at, name in enumerate(("3x3", "pool"))
    }


def _shares(spec: arch.Spec) -> tuple[float, float]:
    splits = [split_of(row) for row in searchable(spec)]
    return float(numpy.mean([s.b3x3.out / s.out for s in splits])), float(numpy.mean([s.pool / s.out for s in splits]))


def expectations() -> dict[str, Any]:
    """Return what a search as it was, and a race, are to be expected to find in three hours on two cores."""
    noise = {1: 0.75, 3: 0.40}  # held out; at three epochs the test set's, and the images' own
    found = {}
    for spread in (0.55, 0.9):
        situation = Situation(noise, {1: spread, 3: spread}, -0.9, {(1, 3): 0.6})
        for name, plan, budget in (
            ("40 trials of one epoch", RacePlan(1, 0.0, base_seeds=1), 41),
            ("best of N, one epoch", RacePlan(1, 0.0, base_seeds=1), EPOCHS),
            ("race, three epochs", RacePlan(3, 0.5), EPOCHS),
            ("race, three epochs, pause", RacePlan(3, 0.25, pause=1, keep=0.25), EPOCHS),
        ):
            expected = simulate(plan, situation, budget, runs=2000)
            found[f"spread {spread}: {name}"] = {key: round(value, 3) for key, value in expected._asdict().items()}
    return found


def record() -> dict[str, Any]:
    """Return the diagnosis."""
    noise = seed_noise()
    base = repeated("ablation_aux").test_accuracy.mean()
    noises = held_out_noise(noise["1"]["sd"], float(base))
    return {
        "seed noise": noise,
        "held-out noise at one epoch, bounds": noises,
        "searches": searches(noises),
        "winners": winners(noises),
        "luck of the best of 40": largest_of(noises),
        "scores": scores(),
        "early": early(),
        "families": families(),
        "space": space(),
        "plans": expectations(),
        "not in the records": ABSENT,
        "environment": environment(threads=1),
    }


def show(found: Mapping[str, Any], indent: str = "") -> None:
    """Print nested figures, a line each."""
    for name, value in found.items():
        if isinstance(value, Mapping) and any(isinstance(inner, Mapping | list) for inner in value.values()):
            print(f"{indent}{name}")
            show(value, f"{indent}  ")
        else:
            print(f"{indent}{name}: {value}")


def main() -> None:
    """Write the record."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = record()
    show({name: value for name, value in found.items() if name != "environment"})
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    write_json(RESULT, found)


if __name__ == "__main__":
    main()
