"""Kinds without a description of their own: their fields, as they are."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.describe.writer import Writer


def describe(out: Writer, obj: dict[str, Any]) -> None:
    """Name, namespace, labels and annotations, then every other field with its words apart."""
    metadata = obj["metadata"]
    out.field(0, "Name", metadata["name"])
    if metadata.get("namespace"):
        out.field(0, "Namespace", metadata["namespace"])
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "kind", "apiVersion")}
    if obj.get("kind") == "Secret":
        rest["data"] = {key: f"{_size(value)} bytes" for key, value in (obj.get("data") or {}).items()}
    _fields(out, 0, rest)


def _size(encoded: str) -> int:
    import base64

    return len(base64.b64decode(encoded))


def _title(name: str) -> str:
    """`fooBarBaz` is `Foo Bar Baz`."""
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in name).strip()
    return words[:1].upper() + words[1:]


def _fields(out: Writer, level: int, value: dict[str, Any]) -> None:
    for key, child in value.items():
        title = key if any(mark in key for mark in "./-_") else _title(key)
        if isinstance(child, dict) and child:
            out.line(level, f"{title}:")
            _fields(out, level + 1, child)
        elif isinstance(child, list) and child:
            out.line(level, f"{title}:")
            _items(out, level + 1, child)
        elif isinstance(child, str) and "\n" in child:
            out.line(level, f"{title}:")
            for line in child.splitlines():
                out.line(level + 1, line)
        elif child not in ({}, []):
            out.field(level, title, child)


def _items(out: Writer, level: int, items: list[Any]) -> None:
    for item in items:
        if isinstance(item, dict):
            _fields(out, level, item)
        else:
            out.line(level, str(item))
