"""Specs: networks as tables of named rows, and how to read, write, derive and edit them."""
