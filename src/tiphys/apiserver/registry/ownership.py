"""Managed fields: who set what, kept up to date with every write."""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.registry.interface import WriteOptions


def on_create(kind: Kind[Any], obj: Any, opts: WriteOptions, now: str) -> None:
    """Record a new object's fields as the writer's."""


def on_update(kind: Kind[Any], obj: Any, old: Any, opts: WriteOptions, now: str) -> None:
    """Record what changed as the writer's."""
