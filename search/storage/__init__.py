"""Where Optuna keeps a study's trials, and how these are held against the run directory."""
