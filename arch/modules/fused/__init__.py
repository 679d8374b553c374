"""The fused execution: the mathematics of the plain modules in fewer and larger steps, for CPUs."""
