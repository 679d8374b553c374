"""The report page, and the index of a folder of runs."""
