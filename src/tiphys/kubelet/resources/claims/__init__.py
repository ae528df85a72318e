"""Devices of ResourceClaims: the node's DRA drivers, and what they prepare for pods."""
