"""Chooses a node for each pod, with columns instead of objects."""
