"""What is fuzzed: real files, how each is read, and what becomes of it before anything is trained."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import arch
import reports
import search
from arch.exchange.convert import read_weights as read_tensors
from search.recipes.schedules import Moment, make_schedule
from search.record.predictions import Predictions
from search.training.checkpoint import load_checkpoint
from search.training.weights import read_classes, read_weights
from tests.fuzz.mutate import as_json, as_json_lines, as_yaml, changed, damaged
from tests.support import ROOT as HERE
from tests.support import study

NETWORKS = ("googlenet_cifar_small", "googlenet_cifar_tiny", "inception_v3", "inception_v4", "googlenet_bn_cifar32")
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Read = Callable[[Path], object]


def read_yaml(content: bytes | str) -> Any:
    return yaml.load(content, Loader=YAML)


@dataclass(frozen=True)
class Target:
    """A file that is read.

    Attributes
    ----------
    files : where it lies, and what right ones hold.
    written : how a changed tree becomes bytes; None where only bytes are changed.
    read : takes the file, and does with it all that is done before a training begins.
    about : what an error may name instead of the file: the folder it lies in.
    sets_aside : whether a damaged file is renamed, and that written down.
    """

    name: str
    files: Sequence[tuple[Path, bytes]]
    read: Read
    written: Callable[[random.Random, Any], bytes] | None = as_yaml
    parsed: Callable[[bytes], Any] = read_yaml
    about: tuple[str, ...] = ()
    sets_aside: bool = False
    _trees: dict[bytes, Any] = field(default_factory=dict)

    def input(self, draw: random.Random) -> tuple[Path, bytes]:
        """Return a file's place and what stands in it now."""
        path, content = draw.choice(self.files)
        if self.written is None:
            return path, damaged(draw, content)
        if content not in self._trees:
            self._trees[content] = self.parsed(content)
        tree = self._trees[content]
        made = self.written(draw, changed(draw, tree) if draw.random() < 0.95 else tree)
        return path, damaged(draw, made) if draw.random() < 0.15 else made


def read_network(path: Path) -> object:
    spec = arch.load(path)
    text = arch.to_yaml(spec)
    return spec.id, arch.cost(spec).macs, arch.measure(spec), text.encode()


def read_recipe(path: Path) -> object:
    recipe = search.load_recipe(path)
    rate = make_schedule(recipe)
    return recipe.id, [rate(Moment(step, 100, step // 10, [1.0] * 10)) for step in (0, 50, 99)]


def read_study(path: Path) -> object:
    from search.study.prepare import prepared

    return prepared(search.load_study(path))


def read_ablation(path: Path) -> object:
    from search.comparison.ablation import candidates

    return candidates(search.load_ablation(path))


def read_run(path: Path) -> object:
    from search.record.status import status

    folder = next(parent for parent in path.parents if (parent / ".run").exists())
    first: Exception | None = None
    for look in (status, reports.load):
        try:
            look(folder)
        except arch.InputError as error:
            first = error
    if first:
        raise first
    return None


def targets(folder: Path, only: str = "") -> list[Target]:
    """Return what is fuzzed and has `only` in its name; writes the files into `folder`, and trains what it takes."""
    networks = [HERE / "arch" / "networks" / f"{name}.yaml" for name in NETWORKS] + [
        HERE / "tests" / "data" / "micro.yaml"
    ]
    recipes = sorted((HERE / "search" / "recipes").glob("*.yaml"))
    ablations = sorted((HERE / "studies" / "ablations").glob("*.yaml"))
    here = folder / "files"
    here.mkdir()

    def files(kind: str, contents: Sequence[bytes]) -> list[tuple[Path, bytes]]:
        return [(here / f"{kind}.yaml", content) for content in contents]

    found = [
        Target("network", files("network", [path.read_bytes() for path in networks]), read_network),
        Target("recipe", files("recipe", [path.read_bytes() for path in recipes]), read_recipe),
        Target("study", files("study", _studies()), read_study),
        Target(
            "ablation",
            files("ablation", [path.read_bytes() for path in ablations]),
            read_ablation,
        ),
    ]
    if not only or not any(only in target.name for target in found):
        runs = trained(folder)
        for kind, run in runs.items():
            found += _records(kind, run)
        found += _weights(folder, runs["study run"])
    return [target for target in found if only in target.name]


def _studies() -> list[bytes]:
    full = study(
        objective=["val_accuracy", "macs"],
        max_macs=10**9,
        sampler={"name": "tpe", "n_startup_trials": 5},
        pruner={"name": "rungs"},
        network="googlenet_cifar_tiny",
        space={
            "splits": {
                "round": 4,
                "minimum": 4,
                "per": "stage",
                "reduce": [0.25, 1.0],
                "around": {"network": "googlenet_cifar_small", "spread": 0.35},
            },
            "family": {"per": "stage", "choices": ["inception_v1", "inception_v3"]},
            "kernel": {"choices": [3, 5]},
            "aux": {"none": [], "first": ["3a"]},
            "aux_weight": {"low": 0.0, "high": 0.5},
            "recipe": {"lr": {"low": 0.01, "high": 1.0, "log": True}, "batch": {"choices": [64, 128]}},
        },
        storage="sqlite:///there.db",
        data={"name": "digits", "val_fraction": 0.2},
    )
    shipped = [path.read_bytes() for path in sorted((HERE / "studies").glob("*.yaml"))]
    demo = (HERE / "search" / "study" / "demo.yaml").read_bytes()
    return [*shipped, demo, yaml.safe_dump(full).encode(), yaml.safe_dump(study()).encode()]


def trained(folder: Path) -> dict[str, Path]:
    """Return small runs of each kind: a study that was confirmed, an ablation, a training."""
    quick = {"base": "default", "epochs": 1, "batch": 512, "precision": "fp32"}
    runs = {kind: folder / kind for kind in ("study run", "ablation run", "training run")}
    search.run_study(study(recipe=quick, trials=2), runs["study run"])
    search.confirm_study(runs["study run"], top=1, seeds=2)
    given = {key: value for key, value in study(recipe=quick).items() if key in ("network", "data", "recipe", "engine")}
    changes = {"name": "fuzzed", "changes": {"none": {"heads": []}}, "seeds": 1}
    search.run_ablation(given | changes, runs["ablation run"])
    shutil.copytree(runs["study run"] / "trials" / "00000", runs["training run"])
    for run in runs.values():
        (run / ".run").touch()
    return runs


def _records(kind: str, run: Path) -> list[Target]:
    """Return the files of a run by how they are written."""
    ways: dict[str, tuple[Any, Any]] = {
        ".yaml": (as_yaml, read_yaml),
        ".json": (as_json, json.loads),
        ".jsonl": (as_json_lines, lambda content: [json.loads(line) for line in content.splitlines()]),
    }
    found = []
    for ending, (written, parsed) in ways.items():
        paths = [path for path in sorted(run.rglob(f"*{ending}")) if path.is_file()]
        if paths:
            files = [(path, path.read_bytes()) for path in paths]
            found.append(Target(f"{kind}, {ending}", files, read_run, written, parsed, about=(str(run),)))
    return found


def _weights(folder: Path, run: Path) -> list[Target]:
    """Return files of tensors, checkpoints and predictions: changed in their headers, or in their bytes alone."""
    import torch

    place = folder / "weights"
    place.mkdir()
    ours = next(run.rglob("weights.safetensors")).read_bytes()
    header = 8 + int.from_bytes(ours[:8], "little")
    torch.save({"fingerprint": {"a": 1}, "epoch": 1, "tensors": {"x": torch.arange(6.0)}}, place / "made.pt")
    torch.save({"x": torch.arange(6.0)}, place / "theirs.pt")
    made, theirs = (place / "made.pt").read_bytes(), (place / "theirs.pt").read_bytes()
    Predictions(("a", "b"), np.zeros(3, np.int64), np.ones((3, 2), np.float32)).write(place / "made.npz")

    def joined(draw: random.Random, tree: Any) -> bytes:
        if isinstance(tree, dict) and isinstance(about := tree.get("__metadata__"), dict):
            ways = {"about": as_json}  # the spec is YAML
            texts = {k: ways.get(k, as_yaml)(draw, value).decode("utf-8", "replace") for k, value in about.items()}
            tree = tree | {"__metadata__": texts | {"checksum": ours_sum} if draw.random() < 0.8 else texts}
        text = as_json(draw, tree)
        return len(text).to_bytes(8, "little") + text + ours[header:]

    def parted(content: bytes) -> Any:
        tree = json.loads(content[8:header])
        known = {key: tree["__metadata__"][key] for key in ("spec", "about")}
        tree["__metadata__"] = {key: read_yaml(text) for key, text in known.items()}
        return tree

    ours_sum = json.loads(ours[8:header])["__metadata__"].get("checksum", "")
    names = json.dumps({"0": "daisy", "1": "rose"}).encode()
    tensors = [(place / "fuzzed.safetensors", ours)]
    return [
        Target("weights", tensors, read_weights, joined, parted),
        Target("weights, bytes", tensors, read_weights, None),
        Target("torch file", [(place / "fuzzed.pth", theirs)], read_tensors, None),
        Target(
            "class names", [(place / "classes.json", names)], lambda path: read_classes(path, 2), as_json, json.loads
        ),
        Target("predictions", [(place / "fuzzed.npz", (place / "made.npz").read_bytes())], Predictions.read, None),
        Target("checkpoint", [(place / "fuzzed.pt", made)], read_checkpoint, None, sets_aside=True),
    ]


def read_checkpoint(path: Path) -> object:
    return load_checkpoint(path, {"a": 1})
