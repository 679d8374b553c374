"""Exchange with other libraries and programs: their weights, and exported networks."""
