"""Puts this folder on the path, for the fakes beside it."""
