"""The training loop, checkpoints, weights, and the choice of device, precision and execution."""
