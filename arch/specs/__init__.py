"""Networks as tables of named rows: reading, writing, deriving and editing them."""
