"""Analysis of a spec without building it: shapes, exact costs, receptive fields, dead weights, differences."""
