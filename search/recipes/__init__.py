"""How networks are trained: one YAML file a recipe."""
