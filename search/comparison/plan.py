"""The plan of a comparison: networks and a base, each trained from scratch once with each of the same seeds.

Confirmations and ablations run one. In their folder:

  plan.json           recipe, seeds, networks in full; how the plan grew
  environment.json    versions, device, threads, commit
  attempts.jsonl      one line for each start and end
  base/<seed>/        the folder of a training, as in trials/; test_openings.jsonl among its files
  <network>/<seed>/
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arch.errors import InputError
from arch.specs.write import to_mapping
from search.data.dataset import Data, DataConfig, data_config
from search.engines.base import EngineConfig
from search.engines.supervisor import TaskResults, run_tasks
from search.engines.task import Task
from search.evaluation.test_set import check_test
from search.progress import Silent
from search.recipes.recipe import APART
from search.record.differences import differing
from search.record.environment import environment
from search.record.files import Damaged, append_line, read_json, set_aside, write_json, write_sealed
from search.record.lock import Held
from search.space.candidates import Candidate


def make_plan(
    networks: Mapping[str, tuple[Candidate, Mapping[str, Any]]],
    seeds: list[int],
    recipe: Mapping[str, Any],
    data: Data,
    config: DataConfig,
    engine: EngineConfig,
    *,
    test: bool = True,
    splits: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """Return the plan of a comparison: what must not change, the seeds, and each network in full.

    Parameters
    ----------
    networks : by name, the base among them, each with what else the plan records of it; `seeds` are then its own.
    recipe : the base's; those of the networks may differ from it.
    test : judge on the test set, trained on all training images; otherwise on held-out ones.
    splits : for a seed that holds out other images, its split_seed.
    """
    where = engine.described()
    return {
        "fingerprint": {
            "recipe": {key: value for key, value in recipe.items() if key not in APART},
            "data": data.fingerprint,
            **{key: where[key] for key in ("threads", "device", "execution")},
            **({} if test else {"test": False}),
        },
        "data": config.model_dump(),
        "recipe": dict(recipe),
        "train_images": len(data.everything if test else data.train),
        "test": test,
        "seeds": seeds,
        **({"splits": {str(seed): {"split_seed": split} for seed, split in splits.items()}} if splits else {}),
        "networks": {
            name: {
                "key": candidate.key,
                **about,
                "spec": to_mapping(candidate.spec),
                "recipe": candidate.recipe.model_dump(),
            }
            for name, (candidate, about) in networks.items()
        },
        "grown": [],
    }


def grown(folder: Path, new_plan: dict[str, Any], what: str) -> dict[str, Any]:
    """Return the plan in force: the recorded one with the networks and seeds of the new one added.

    Raises
    ------
    InputError
        The folder holds another comparison; names the differences. `what` names this kind of comparison.
    """
    if not (folder / "plan.json").exists():
        return new_plan
    try:
        known = read_json(folder / "plan.json", "grown")
    except Damaged as error:
        aside = set_aside(folder / "plan.json", str(error))
        warnings.warn(
            f"{folder / 'plan.json'}: damaged, set aside as {aside.name}; replaced by the plan of this command, so "
            "name every network and seed that it held",
            stacklevel=2,
        )
        return new_plan
    both = [name for name in new_plan["networks"] if name in known["networks"]]
    old, new = ({"networks": {name: plan["networks"][name]["key"] for name in both}} for plan in (known, new_plan))
    differences = list(differing(known["fingerprint"], new_plan["fingerprint"])) or list(differing(old, new))
    if differences:
        raise InputError(
            f"{folder}: holds another {what} ({'; '.join(differences)}); undo the change or rename that folder."
        )
    seeds = list(dict.fromkeys([*known["seeds"], *new_plan["seeds"]]))
    # The new record replaces the old one, as it may name a level of a new factor. A search's prediction stays as it was.
    networks = known["networks"] | {
        name: network | {key: known["networks"][name][key] for key in ("searched",) if name in both and key in network}
        for name, network in new_plan["networks"].items()
    }
    if len(seeds) > len(known["seeds"]) or len(networks) > len(known["networks"]):
        step = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "finished": sum(1 for _ in folder.glob("*/*/result.json")),
            "from": {"seeds": len(known["seeds"]), "networks": len(known["networks"])},
            "to": {"seeds": len(seeds), "networks": len(networks)},
        }
        known["grown"].append(step)
    return {**known, "seeds": seeds, "networks": networks}


def carry_out(
    held: Held, title: str, column: str, plan: Mapping[str, Any], engine: EngineConfig, show: Silent
) -> TaskResults:
    """Run every unfinished training of a plan, in a locked folder; `column` is the key of a network's name in results.

    Raises
    ------
    InputError
        A network cannot be trained, or the test set that is to be opened is not there.
    """
    folder = held.folder
    tasks = _tasks(folder, column, plan, engine)
    if plan["test"]:
        check_test(data_config(plan["data"]))
    write_sealed(folder / "plan.json", plan)
    about = environment(**engine.described(), data=plan["fingerprint"]["data"])
    write_json(folder / "environment.json", about)
    started = {key: about[key] for key in ("time", "commit", "versions")} | {"pid": os.getpid(), "asked": len(tasks)}
    append_line(folder / "attempts.jsonl", json.dumps(started))
    try:
        outcome = run_tasks(title, tasks, engine, show, held.check)
    except KeyboardInterrupt:  # Ctrl-C twice: running trainings resume from their last epoch
        _note_end(folder, "interrupted")
        raise
    _note_end(folder, "interrupted" if outcome.signal else "complete")
    return outcome


def _note_end(folder: Path, ended: str) -> None:
    now, finished = time.strftime("%Y-%m-%dT%H:%M:%S%z"), sum(1 for _ in folder.glob("*/*/result.json"))
    append_line(folder / "attempts.jsonl", json.dumps({"time": now, "ended": ended, "finished": finished}))


def _tasks(folder: Path, column: str, plan: Mapping[str, Any], engine: EngineConfig) -> dict[str, Task]:
    """Return a task for each network and seed, seed by seed, so that pairs are complete early."""
    return {
        f"{name} {seed}": Task(
            folder=str(folder / name / str(seed)),
            spec=network["spec"],
            recipe=network["recipe"],
            data=plan["data"] | plan.get("splits", {}).get(str(seed), {}),
            seed=seed,
            everything=plan["test"],
            test=plan["test"],
            device=engine.device,
            execution=engine.execution,
            about={column: name, "key": network["key"]},
        )
        for seed in plan["seeds"]
        for name, network in plan["networks"].items()
        if seed in network.get("seeds", plan["seeds"])
    }
