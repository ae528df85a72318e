"""Shipped test tools: fake clock, object builders, a whole cluster as a pytest fixture."""
