"""The race of a study: what is trained next, and how much work it may take."""
