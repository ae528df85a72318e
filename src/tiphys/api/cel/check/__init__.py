"""Types for the nodes of a tree: declarations, unification, the checker."""
