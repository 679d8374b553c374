"""Runs as pandas frames."""
