"""Evaluate trained networks: on held-out images, on the test set, on single images, and their speed."""
