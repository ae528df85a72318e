"""The manifests in examples/ are what the API takes: decoded strictly, defaulted, valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiphys.api.codec import decode_body, encode
from tiphys.api.kinds import KINDS
from tiphys.kubectl.manifests import read

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MANIFESTS = sorted(EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_is_valid(path: Path) -> None:
    by_type = {(kind.api_version, kind.kind): kind for kind in KINDS}
    for manifest in read([str(path)]):
        kind = by_type[manifest["apiVersion"], manifest["kind"]]
        obj, warnings = decode_body(kind, json.dumps(manifest).encode(), "application/json", "Strict")
        assert not warnings
        obj.metadata.namespace = "default" if kind.namespaced else ""
        kind.prepare(obj, None)
        kind.default(obj)
        assert not list(kind.validate(obj, None))
        assert encode(obj)
