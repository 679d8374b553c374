"""How networks are trained: one YAML file a recipe; the optimizers, schedules, losses and augmentations that it names."""
