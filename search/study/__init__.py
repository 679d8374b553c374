"""Studies: proposals, trials, pruning, exact resume."""
