"""Trees to closures, and what the operators do with values."""
