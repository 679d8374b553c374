"""Files of any kind: written at once or not at all, read without trust, shown as tables in a notebook."""
