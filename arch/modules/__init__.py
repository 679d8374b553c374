"""Torch modules from specs: plain (one layer a node), or fused into fewer steps."""
