"""Weights of a finished training: a safetensors file with the spec, recipe and classes needed to use them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from arch.errors import InputError, from_validation
from arch.exchange.convert import check_weights
from arch.files.safe_yaml import parse_yaml
from arch.modules.builder import build
from arch.modules.plain import Execution, Network
from arch.specs.read import from_mapping
from arch.specs.spec import Spec
from arch.specs.write import to_yaml
from search.data.dataset import Data, DataConfig
from search.recipes.recipe import Recipe
from search.record.files import replace_file, write_json
from search.training.hardware import memory_format

_Side = Annotated[int, Field(ge=1, le=16_384)]  # pixels
WEIGHTS, CLASSES = "weights.safetensors", "class_indices.json"  # in the folder of a training


class About(BaseModel):
    """What a file of weights holds besides tensors and spec.

    Attributes
    ----------
    mean, std : of the training images by channel, on the scale 0 to 1; used where the recipe has `normalise: data`.
    size : (height, width) of the images that the recipe was given; None: those that the network reads.
    data, fingerprint, split : the data set trained on, its images, and which of them were held out.
    everything : whether the held-out images were trained on too; None where that is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    classes: tuple[str, ...]
    recipe: Recipe
    mean: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    std: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    size: tuple[_Side, _Side] | None = None
    data: DataConfig | None = None
    fingerprint: str = ""
    split: str = ""
    everything: bool | None = None

    @classmethod
    def of(cls, spec: Spec, data: Data, recipe: Recipe, config: DataConfig, everything: bool) -> About:
        """Return this for a training on these images."""
        return cls(
            classes=data.classes,
            recipe=recipe,
            mean=tuple(data.mean.tolist()),
            std=tuple(data.std.tolist()),
            size=data.size_at(spec.input[1:]),
            data=config,
            fingerprint=data.fingerprint,
            split=data.split,
            everything=everything,
        )


@dataclass(frozen=True)
class Weights:
    """A network's tensors by their names in the state dict, its spec, and what else the file holds."""

    path: Path
    spec: Spec
    tensors: Mapping[str, Tensor]
    about: About

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) that images are brought to before the recipe's own resizing and normalising."""
        return self.about.size or self.spec.input[1:]

    def network(self, device: torch.device | str = "cpu", execution: Execution = "plain") -> Network:
        """Return the network with these weights, ready to judge images."""
        where = torch.device(device)
        network = build(self.spec, execution).to(where).to(memory_format=memory_format(where))
        network.load_state_dict(dict(self.tensors))
        return network.eval()


def save_weights(path: Path, network: Network, about: About) -> None:
    """Write weights as safetensors, with the spec, `about` as JSON and a checksum in the metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {"spec": to_yaml(network.spec), "about": about.model_dump_json(), "checksum": _checksum(tensors)}
    replace_file(path, lambda temporary: save_file(tensors, temporary, metadata))


def read_weights(path: str | Path) -> Weights:
    """Return the weights in a file, or in the folder of a training, with their spec, recipe and classes.

    Raises
    ------
    InputError
        There is no such file, it is damaged, or no training here wrote it; says what to do.
    """
    file = find_weights(Path(path))
    try:
        with safe_open(file, "pt") as opened:
            metadata: dict[str, str] = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error}); check the path.") from None
    except SafetensorError as error:
        raise InputError(
            f"{file}: damaged, or no safetensors file ({error}); weights in a torch file (.pt, .pth) go in by "
            "`inceptory train --init`."
        ) from None
    if "spec" not in metadata or "about" not in metadata:
        raise InputError(
            f"{file}: says nothing of its network, classes and recipe, as weights of `inceptory train` do; "
            "weights from elsewhere go in by `inceptory train NETWORK --init`."
        )
    if metadata.get("checksum") not in (None, _checksum(tensors)):
        raise InputError(f"{file}: damaged: its checksum does not match; fetch or train it again.")
    spec = from_mapping(parse_yaml(metadata["spec"], f"{file}, spec"), f"{file}, spec")
    about = _about(metadata["about"], spec, file)
    check_weights(tensors, spec, where=str(file))
    return Weights(file, spec, tensors, about)


def find_weights(path: Path) -> Path:
    """Return the file of weights that a path names: itself, or that of a training's folder."""
    if not path.is_dir():
        return path
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    if (path / "study.yaml").is_file():
        raise InputError(f"{path}: is a study; name the folder of one of its trainings, as {path}/trials/00000.")
    raise InputError(f"{path}: holds no {WEIGHTS}; name a file of weights or the folder of a finished training.")


def write_classes(path: Path, classes: tuple[str, ...]) -> None:
    """Write class names as the tutorials' `class_indices.json`: names by their index."""
    write_json(path, {str(index): name for index, name in enumerate(classes)})


def read_classes(path: Path, amount: int) -> tuple[str, ...]:
    """Return the `amount` class names of a `class_indices.json`, names by index or indices by name.

    Raises
    ------
    InputError
        The file cannot be read, or does not name each class once.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}).") from None
    pairs = (
        list(found.items()) if isinstance(found, dict) else list(enumerate(found)) if isinstance(found, list) else []
    )
    by_index = {str(key): value for key, value in pairs}
    if all(isinstance(value, int) for value in by_index.values()):
        by_index = {str(value): str(key) for key, value in pairs}
    names = [by_index.get(str(index)) for index in range(amount)]
    if len(pairs) != amount or not all(isinstance(name, str) for name in names):
        raise InputError(
            f'{path}: must name each of the {amount} classes once, as {{"0": "daisy", "1": "rose"}}; '
            f"it has {len(pairs)} entries."
        )
    return tuple(str(name) for name in names)


def _about(text: str, spec: Spec, file: Path) -> About:
    try:
        about = About.model_validate_json(text)
    except ValidationError as error:
        raise from_validation(error, f"{file}, about", About.model_fields) from None
    if len(about.classes) != spec.classes or len(about.mean) != spec.input[0] or len(about.std) != spec.input[0]:
        raise InputError(f"{file}: damaged: its class names or means are not those of its network; train it again.")
    return about


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of names, shapes, types and values, which safetensors itself does not check."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
