"""Whole processors for Guaranteed pods that ask for them (the CPU manager's static policy)."""
