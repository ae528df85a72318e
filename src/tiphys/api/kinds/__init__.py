"""One file (or package) per kind, and the tuple `KINDS` that names them all."""
