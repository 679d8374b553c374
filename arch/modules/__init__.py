"""Torch modules: one layer a node, or fused into fewer steps."""
