"""Configuration files of the server: YAML or JSON with apiVersion and kind, into frozen values, strictly.

A file that cannot be used keeps the server from starting, with an error that names the file and the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from tiphys.api.errors import FieldError
from tiphys.api.meta.schema import wire_name

S = TypeVar("S", bound=msgspec.Struct)
_MAX_BYTES = 3 * 1024 * 1024


class Section(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name, forbid_unknown_fields=True):
    """The base of every part of a configuration file: unknown fields are errors."""


class Document(Section, frozen=True, kw_only=True):
    """The base of a whole file."""

    api_version: str = ""
    kind: str = ""


class ConfigError(ValueError):
    """A file that cannot be used; the text names it and says what is wrong."""


def read(path: Path, kind: str, schemas: Mapping[str, type[S]]) -> S:
    """The document of `kind` in `path`; `schemas` are by apiVersion. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    return parse(data, str(path), kind, schemas)


def parse(data: bytes, where: str, kind: str, schemas: Mapping[str, type[S]]) -> S:
    """The same for a file's content; `where` is its name in errors."""
    from tiphys.api.codec_yaml import parse_yaml

    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{where}: longer than {_MAX_BYTES} bytes")
    try:
        document, duplicates = parse_yaml(data)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    if duplicates:
        raise ConfigError(f"{where}: {'; '.join(duplicates)}")
    if not isinstance(document, dict):
        raise ConfigError(f"{where}: not a {kind}")
    if document.get("kind") != kind or document.get("apiVersion") not in schemas:
        known = " or ".join(schemas)
        raise ConfigError(
            f"{where}: expected kind {kind} of {known}, "
            f"got kind {document.get('kind')!r} of {document.get('apiVersion')!r}"
        )
    try:
        return msgspec.convert(document, schemas[document["apiVersion"]])
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error


def refuse(where: str, errors: Iterable[FieldError]) -> None:
    """Raises ConfigError where there are complaints."""
    found = [str(error) for error in errors]
    if found:
        raise ConfigError(f"{where}: {found[0] if len(found) == 1 else '[' + ', '.join(found) + ']'}")


def fingerprint(path: Path) -> tuple[int, int, int]:
    """What changes when the file does; all zero where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float:
    """A Go duration (`1h30m`, `500ms`, `0`) in seconds. Raises ValueError."""
    body = text.removeprefix("-")
    if body == "0":
        return 0.0
    total, at = 0.0, 0
    for part in _DURATION.finditer(body):
        if part.start() != at:
            break
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not body or at != len(body):
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total
