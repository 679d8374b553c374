"""Ridge regression from networks' figures to their values, and how well it ranks networks that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.sampling.figures import Figures

_ROUNDING = 1e-9  # of the values' range: predictions that differ by less are the same


@dataclass(frozen=True)
class Known:
    """Networks whose values are known, n of them.

    Attributes
    ----------
    figures : of each network, by name.
    values : (n,), larger is better.
    weights : (n,), how much each value counts: the share of its variance that is the network's own.
    """

    figures: Sequence[Figures]
    values: np.ndarray
    weights: np.ndarray

    def rank_correlation(self) -> float:
        """Return Spearman's correlation of values with predictions of each network from all others.

        NaN where values or predictions do not vary. The values are noisy, which lowers it. Where nothing can be learnt
        it is a little below 0: about -0.1 of 20 networks.
        """
        from scipy.stats import spearmanr
        from sklearn.model_selection import LeaveOneOut, cross_val_predict

        if np.ptp(self.values) == 0 or not self.weights.all():
            return math.nan
        w, y = self.weights, self.values
        params = {"bayesianridge__sample_weight": w}
        predicted = cross_val_predict(_ridge(), self.figures, y, cv=LeaveOneOut(), params=params)
        # The mean of all others is the lower, the better the one left out. Only what is predicted beyond it counts.
        beyond = predicted - (w @ y - w * y) / (w.sum() - w)
        return float(spearmanr(beyond, y).statistic) if np.ptp(beyond) > _ROUNDING * np.ptp(y) else math.nan

    def predict(self, networks: Sequence[Figures]) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected values of other networks and their standard deviations, each (networks,)."""
        fitted = _ridge().fit(self.figures, self.values, bayesianridge__sample_weight=self.weights)
        mean, sd = fitted.predict(networks, return_std=True)
        return np.asarray(mean), np.asarray(sd)


def _ridge() -> Any:
    """Return ridge regression on standardised figures, its strength by the evidence (MacKay 1992).

    Gaussian processes rank alike (docs/studies.md), and take five to ten times as long.
    """
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import BayesianRidge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(DictVectorizer(sparse=False), StandardScaler(), BayesianRidge())
