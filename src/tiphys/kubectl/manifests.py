"""Manifests from files, directories, standard input and addresses: YAML or JSON, several documents, Lists."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tiphys.kubectl.flags import Flag, UsageError

MANIFEST_BYTES_MAX = 64 << 20
FILENAME = Flag("filename", "manifests: files, directories, addresses, or - for standard input", short="f", kind="list")
RECURSIVE = Flag("recursive", "read directories recursively", short="R", kind="bool")
_ENDINGS = (".yaml", ".yml", ".json")
_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)


def read(sources: Sequence[str], *, recursive: bool = False) -> list[dict[str, Any]]:
    """All objects in order, Lists taken apart. Raises UsageError naming the file."""
    found: list[dict[str, Any]] = []
    for source in sources:
        for name, text in _texts(source, recursive):
            found += _objects(name, text)
    if not found:
        raise UsageError("no objects passed")
    return found


def _texts(source: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if source == "-":
        yield "STDIN", sys.stdin.read(MANIFEST_BYTES_MAX)
    elif source.startswith(("http://", "https://")):
        yield source, _download(source)
    else:
        path = Path(source)
        if not path.exists():
            raise UsageError(f'the path "{source}" does not exist')
        if path.is_dir():
            found = path.rglob("*") if recursive else path.glob("*")
            files = sorted(file for file in found if file.suffix in _ENDINGS and file.is_file())
            if not files:
                raise UsageError(f"error reading [{source}]: recognized file extensions are {', '.join(_ENDINGS)}")
        else:
            files = [path]
        for file in files:
            yield str(file), _text(file)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise UsageError(f"{path}: larger than {MANIFEST_BYTES_MAX >> 20} MiB")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error


def _download(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - http and https only, checked above
            body: bytes = answer.read(MANIFEST_BYTES_MAX)
    except OSError as error:
        raise UsageError(f"unable to read URL {address!r}: {error}") from error
    return body.decode(errors="replace")


def _objects(name: str, text: str) -> Iterator[dict[str, Any]]:
    from tiphys.api.codec_yaml import parse_yaml

    if text.lstrip().startswith("{"):
        # JSON is nearly YAML: tabs are what it has besides.
        with contextlib.suppress(json.JSONDecodeError):
            yield from list(_json_objects(name, text))
            return
    for document in _SEPARATOR.split(text):
        if not document.strip():
            continue
        try:
            value, duplicates = parse_yaml(document.encode())
        except ValueError as error:
            raise UsageError(f"error parsing {name}: error converting YAML to JSON: {error}") from error
        if duplicates:
            raise UsageError(f"error parsing {name}: error converting YAML to JSON: {duplicates[0]}")
        if value is not None:
            yield from _unpacked(name, value)


def _json_objects(name: str, text: str) -> Iterator[dict[str, Any]]:
    """Values one after the other. Raises JSONDecodeError, UsageError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
            raise UsageError(f'error parsing {name}: key "{twice}" already set in map')
        return found

    decoder = json.JSONDecoder(object_pairs_hook=once)
    rest = text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield from _unpacked(name, value)
        rest = rest[end:].lstrip()


def _unpacked(name: str, document: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(document, dict):
        raise UsageError(f"error parsing {name}: an object was expected, not {type(document).__name__}")
    kind, api_version = document.get("kind"), document.get("apiVersion")
    if not kind or not api_version:
        missing = [word for word, value in (("apiVersion not set", api_version), ("kind not set", kind)) if not value]
        raise UsageError(f'error validating "{name}": error validating data: [{", ".join(missing)}]')
    if str(kind).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _unpacked(name, item)
        return
    if not isinstance(document.get("metadata") or {}, dict):
        raise UsageError(f"error parsing {name}: metadata must be an object")
    document.setdefault("metadata", {})
    yield document


def namespace_of(obj: dict[str, Any], chosen: str, given: bool) -> str:
    """Where the object goes: its own namespace, else the chosen one. Raises UsageError when -n says otherwise."""
    own = str((obj.get("metadata") or {}).get("namespace") or "")
    if own and given and own != chosen:
        raise UsageError(
            f'the namespace from the provided object "{own}" does not match the namespace "{chosen}". '
            f"You must pass '--namespace={own}' to perform this operation."
        )
    return own or chosen
