"""Tiphys: Kubernetes, the whole system, in Python. docs/architecture.md is the map."""
