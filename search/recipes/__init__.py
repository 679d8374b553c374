"""Recipes: how networks are trained, in YAML; and the optimizers, schedules, losses and augmentations in them."""
