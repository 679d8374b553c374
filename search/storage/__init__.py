"""Where Optuna keeps a study's trials, and how these are compared with the run directory."""
