"""Admission plugins, one file each, and the chain that calls them in upstream's order."""
