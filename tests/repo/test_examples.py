"""The manifests in examples/ are what the API takes: decoded strictly, defaulted, valid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.codec import decode_body, encode
from tiphys.api.custom.definition import read as read_definition
from tiphys.api.custom.kind import kinds_of
from tiphys.api.kind import Kind
from tiphys.api.kinds import KINDS
from tiphys.kubectl.manifests import read

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MANIFESTS = sorted(EXAMPLES.rglob("*.yaml"))


def custom_kinds() -> Iterator[Kind[Any]]:
    """Those that the examples define."""
    for path in MANIFESTS:
        for manifest in read([str(path)]):
            if manifest["kind"] == "CustomResourceDefinition":
                definition = read_definition(json.dumps(manifest).encode())
                yield from kinds_of(definition, definition.spec.names).values()


@cache
def kinds() -> dict[tuple[str, str], Kind[Any]]:
    return {(kind.api_version, kind.kind): kind for kind in (*KINDS, *custom_kinds())}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_is_valid(path: Path) -> None:
    for manifest in read([str(path)]):
        kind = kinds()[manifest["apiVersion"], manifest["kind"]]
        obj, warnings = decode_body(kind, json.dumps(manifest).encode(), "application/json", "Strict")
        assert not warnings
        obj.metadata.namespace = "default" if kind.namespaced else ""
        kind.prepare(obj, None)
        kind.default(obj)
        assert not list(kind.validate(obj, None))
        assert encode(obj)
