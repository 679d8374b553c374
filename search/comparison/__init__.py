"""Comparisons of networks that are trained with the same seeds: confirmations and ablations."""
