"""Recipes: how networks are trained, in YAML; and the optimizers, schedules, losses and augmentations that they name."""
