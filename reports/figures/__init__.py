"""Figures of a run, for papers."""
