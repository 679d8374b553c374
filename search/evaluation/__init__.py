"""What trained networks do: on held-out images, on the test set, on a photograph, against the clock."""
