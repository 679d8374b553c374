"""Trainings as tasks of a Ray cluster."""
