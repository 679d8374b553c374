"""Drawings of blocks and networks."""
