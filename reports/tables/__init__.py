"""Tables of a run, each with the trainings that a cell is made of."""
