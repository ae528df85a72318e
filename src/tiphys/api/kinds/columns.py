"""Columns that most kinds share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api.kind import Column
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

NAME: Column[Any] = Column("Name", "string", lambda obj: obj.metadata.name, "The object's name.", format="name")
AGE: Column[Any] = Column("Age", "date", lambda obj: obj.metadata.creation_timestamp or "", "Time since creation.")


def container_names(containers: list[Container]) -> str:
    return ",".join(container.name for container in containers)


def container_images(containers: list[Container]) -> str:
    return ",".join(container.image for container in containers)


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def access_modes_text(modes: list[str]) -> str:
    """`RWO,ROX`: how a volume may be mounted, in a fixed order."""
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def or_unset(text: str | None) -> str:
    return UNSET if text is None else text


def labels_text(labels: dict[str, str]) -> str:
    """`app=web,tier=front`, or `<none>`."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or NONE


def template_columns(
    template: Callable[[Any], PodTemplateSpec | None], selector: Callable[[Any], str] | None = None
) -> tuple[Column[Any], ...]:
    """What `-o wide` shows of the pods that something makes: containers, images and, where given, the selector."""

    def containers(obj: Any) -> list[Container]:
        found = template(obj)
        return found.spec.containers if found is not None else []

    columns: tuple[Column[Any], ...] = (
        Column(
            "Containers",
            "string",
            lambda obj: container_names(containers(obj)),
            "The containers of its pods.",
            wide=True,
        ),
        Column("Images", "string", lambda obj: container_images(containers(obj)), "The images of its pods.", wide=True),
    )
    if selector is None:
        return columns
    return (*columns, Column("Selector", "string", selector, "Its pods.", wide=True))
