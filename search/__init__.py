"""Train, judge and search networks: data, recipes, training, evaluation, studies, ablations.

Importing this package does not import torch; its functions do when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.comparison.ablation import Ablation, load_ablation, run_ablation
    from search.comparison.confirm import confirm_study
    from search.comparison.pilot import run_pilot
    from search.data.dataset import Data, DataConfig, load_data
    from search.data.sources import DATASETS
    from search.evaluation.bench import bench
    from search.evaluation.evaluate import Evaluation, evaluate
    from search.evaluation.predict import Prediction, predict
    from search.recipes.augmentations import AUGMENTATIONS
    from search.recipes.load import load_recipe
    from search.recipes.losses import LOSSES
    from search.recipes.optimizers import OPTIMIZERS
    from search.recipes.recipe import Recipe
    from search.recipes.schedules import SCHEDULES
    from search.sampling.samplers import PRUNERS, SAMPLERS
    from search.space.candidates import Candidate, decode
    from search.space.choosers import Sampled
    from search.space.space import Space
    from search.study.config import StudyConfig, load_study
    from search.study.run import run_study
    from search.training.fit import Epoch, fit
    from search.training.weights import Weights, read_weights

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "LOSSES",
    "OPTIMIZERS",
    "PRUNERS",
    "SAMPLERS",
    "SCHEDULES",
    "Ablation",
    "Candidate",
    "Data",
    "DataConfig",
    "Epoch",
    "Evaluation",
    "Prediction",
    "Recipe",
    "Sampled",
    "Space",
    "StudyConfig",
    "Weights",
    "bench",
    "confirm_study",
    "decode",
    "evaluate",
    "fit",
    "load_ablation",
    "load_data",
    "load_recipe",
    "load_study",
    "predict",
    "read_weights",
    "run_ablation",
    "run_pilot",
    "run_study",
]

_DEFINED_IN = {
    "Data": "data.dataset",
    "DataConfig": "data.dataset",
    "load_data": "data.dataset",
    "Recipe": "recipes.recipe",
    "load_recipe": "recipes.load",
    "AUGMENTATIONS": "recipes.augmentations",
    "LOSSES": "recipes.losses",
    "OPTIMIZERS": "recipes.optimizers",
    "SCHEDULES": "recipes.schedules",
    "DATASETS": "data.sources",
    "SAMPLERS": "sampling.samplers",
    "PRUNERS": "sampling.samplers",
    "Candidate": "space.candidates",
    "Sampled": "space.choosers",
    "Space": "space.space",
    "decode": "space.candidates",
    "StudyConfig": "study.config",
    "load_study": "study.config",
    "run_study": "study.run",
    "confirm_study": "comparison.confirm",
    "run_pilot": "comparison.pilot",
    "Ablation": "comparison.ablation",
    "load_ablation": "comparison.ablation",
    "run_ablation": "comparison.ablation",
    "Epoch": "training.fit",
    "fit": "training.fit",
    "Evaluation": "evaluation.evaluate",
    "evaluate": "evaluation.evaluate",
    "Prediction": "evaluation.predict",
    "predict": "evaluation.predict",
    "bench": "evaluation.bench",
    "Weights": "training.weights",
    "read_weights": "training.weights",
}


def __getattr__(name: str) -> Any:
    if name in _DEFINED_IN:
        return getattr(importlib.import_module(f"search.{_DEFINED_IN[name]}"), name)
    raise AttributeError(f"module 'search' has no attribute '{name}'")
