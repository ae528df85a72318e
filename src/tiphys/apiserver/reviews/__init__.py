"""Reviews: objects that are answered and never stored, one file per group."""
