"""What all generators share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError

Generator = Callable[[Context, list[str]], dict[str, Any] | str]


def one_name(what: str, names: list[str]) -> str:
    """Raises UsageError for none or several."""
    if len(names) != 1:
        raise UsageError(f"exactly one NAME is required, got {len(names)}: create {what} NAME")
    return names[0]


def new(api_version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def required(context: Context, *flags: str) -> None:
    """Raises UsageError for those that are empty."""
    missing = [f'"{flag}"' for flag in flags if not context.options[flag]]
    if missing:
        raise UsageError(f"required flag(s) {', '.join(missing)} not set")


def pairs(texts: Iterable[str], what: str) -> dict[str, str]:
    """`KEY=VALUE`s. Raises UsageError."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"invalid {what}: {text}, expected KEY=VALUE")
        found[key] = value
    return found


def unique(*groups: tuple[Flag, ...]) -> tuple[Flag, ...]:
    """All flags once; those of one name mean the same to every generator."""
    return tuple({flag.name: flag for group in groups for flag in group}.values())
