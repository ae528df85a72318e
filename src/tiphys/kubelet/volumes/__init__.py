"""One file per volume type, and how their content is written atomically."""
