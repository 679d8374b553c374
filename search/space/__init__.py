"""What a study may vary, and how a point of the space becomes a network and a recipe."""
