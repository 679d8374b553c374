"""What proposes the points of a study, and what ends trainings early: samplers and pruners by name."""
