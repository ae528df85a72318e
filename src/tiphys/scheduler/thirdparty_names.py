"""Which plugins installed packages offer, by name. Loads none of them."""

from __future__ import annotations

from importlib import metadata

GROUP = "tiphys.scheduler.plugins"


def names() -> frozenset[str]:
    return frozenset(point.name for point in metadata.entry_points(group=GROUP))
