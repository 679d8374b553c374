"""Studies: what proposes, trains, prunes and records trials, and resumes a stopped study exactly."""
