"""Weights and networks from and to other libraries."""
