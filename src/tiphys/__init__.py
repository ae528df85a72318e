"""Tiphys: Kubernetes, the whole system, in Python. docs/architecture.md is the map."""

__version__ = "0.1.0"
