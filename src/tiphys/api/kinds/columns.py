"""Columns that most kinds share."""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Column
from tiphys.api.kinds.core.pod.containers import Container

NONE = "<none>"
UNKNOWN = "<unknown>"

NAME: Column[Any] = Column("Name", "string", lambda obj: obj.metadata.name, "The object's name.", format="name")
AGE: Column[Any] = Column("Age", "date", lambda obj: obj.metadata.creation_timestamp or "", "Time since creation.")


def container_names(containers: list[Container]) -> str:
    return ",".join(container.name for container in containers)


def container_images(containers: list[Container]) -> str:
    return ",".join(container.image for container in containers)


def labels_text(labels: dict[str, str]) -> str:
    """`app=web,tier=front`, or `<none>`."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or NONE
