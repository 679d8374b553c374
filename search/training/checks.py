"""Whether a network, a data set and a recipe fit together; every error says what to change."""

from __future__ import annotations

import torch

from arch.analysis.memory_limit import available_memory, check_memory
from arch.errors import InputError
from arch.specs.spec import Spec
from search.data.dataset import Data, Memory
from search.recipes.recipe import Recipe


def check_fit(spec: Spec, data: Data, recipe: Recipe) -> None:
    """Raise InputError where a spec, a data set and a recipe do not fit together; says what to change."""
    recipe.aux_weights(spec.aux_rows, 0.0)
    in_memory = isinstance(data.train, Memory)
    if in_memory and recipe.random_resized_crop:
        raise InputError(
            f"recipe {recipe.name}: random_resized_crop is for folders of larger images, and {data.name} is small; "
            "use --set recipe.random_resized_crop=false."
        )
    if not in_memory and recipe.normalise == "data":
        raise InputError(
            f"recipe {recipe.name}: normalise: data needs the mean of images in memory, and {data.name} is read from "
            "files as it trains; use --set recipe.normalise=half."
        )
    check_input(spec, data, recipe)
    if spec.classes != len(data.classes):
        raise InputError(
            f"{spec.name} has {spec.classes} classes, but {data.name} has {len(data.classes)}; "
            f"use --classes {len(data.classes)}."
        )
    largest = max([available_memory(), *(torch.cuda.mem_get_info(i)[1] for i in range(torch.cuda.device_count()))])
    check_memory(spec, min(recipe.batch, len(data.everything)), training=True, limit=largest)


def check_input(spec: Spec, data: Data, recipe: Recipe) -> None:
    """Raise InputError where a data set's images, after the recipe's resizing, are not of the network's input shape."""
    have = (len(data.mean), *data.size_at(spec.input[1:]))
    if recipe.resize:
        have = (have[0], recipe.resize, recipe.resize)
    if have != spec.input:
        came, wanted = "x".join(map(str, have)), "x".join(map(str, spec.input))
        raise InputError(
            f"{spec.name} reads {wanted} images, but {data.name} with recipe {recipe.name} gives {came}; "
            f"use --input {came} or --set recipe.resize={spec.input[1]}."
        )
