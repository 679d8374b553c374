"""How networks are tried: data, recipes, training, studies.

Importing this package does not import torch; its functions do when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.ablation import Ablation, load_ablation, run_ablation
    from search.confirm import confirm_study
    from search.data import Data, DataConfig, load_data
    from search.evaluation import Evaluation, evaluate
    from search.prediction import Prediction, predict
    from search.recipe import Recipe, load_recipe
    from search.space import Candidate, Sampled, Space, decode
    from search.study import StudyConfig, load_study, run_study
    from search.timing import bench
    from search.training import Epoch, fit
    from search.weights import Weights, read_weights

__all__ = [
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
    "run_study",
]

_HOME = {
    "Data": "data",
    "DataConfig": "data",
    "load_data": "data",
    "Recipe": "recipe",
    "load_recipe": "recipe",
    "Candidate": "space",
    "Sampled": "space",
    "Space": "space",
    "decode": "space",
    "StudyConfig": "study",
    "load_study": "study",
    "run_study": "study",
    "confirm_study": "confirm",
    "Ablation": "ablation",
    "load_ablation": "ablation",
    "run_ablation": "ablation",
    "Epoch": "training",
    "fit": "training",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "Prediction": "prediction",
    "predict": "prediction",
    "bench": "timing",
    "Weights": "weights",
    "read_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"search.{_HOME[name]}"), name)
    raise AttributeError(f"module 'search' has no attribute '{name}'")
