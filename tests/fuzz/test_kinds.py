"""Any JSON for any kind and any verb: the server says what is wrong with it, and never that it is broken itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
from api_harness import RunningServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kind_bodies import BODIES
from kind_bodies import body_of as valid_body

from fuzz.direct import Direct, Failures, encoded
from fuzz.typed import JUNK, TEXTS, body_of, spoiled
from tiphys.api.kind import Kind
from tiphys.api.kinds import KINDS, PREVIEW_KINDS

EXAMPLES = int(os.environ.get("TIPHYS_FUZZ_EXAMPLES", "150"))
"""Rounds of about eight requests each."""
_KINDS = [kind for kind in (*KINDS, *PREVIEW_KINDS) if "create" in kind.verbs and kind.kind != "Namespace"]
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
            "application/apply-patch+yaml")  # fmt: skip
_PARAMETERS = (
    "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "watch",
    "timeoutSeconds", "allowWatchBookmarks", "sendInitialEvents", "pretty", "dryRun", "fieldManager",
    "fieldValidation", "force", "propagationPolicy", "gracePeriodSeconds", "orphanDependents", "timeout",
    "command", "container", "tailLines", "sinceTime", "port", "path", "shardSelector",
)  # fmt: skip
_ACCEPTED = (
    "application/json", "application/vnd.kubernetes.protobuf", "application/yaml",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/cbor", "*/*", "text/plain",
    "a/b;q=x", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;stream=watch",
)  # fmt: skip
_POINTERS = (
    "", "/", "/spec", "/metadata/name", "/metadata/labels/a", "/spec/-", "/spec/template/spec/containers/0", "/x~2",
    "/a/01", "/status", "/metadata/managedFields", "/metadata/finalizers", "/kind", "/metadata", "/spec/ports/-", "a",
    "/\x00",
)  # fmt: skip
_DIRECTIVES = (
    "$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers",
    "$setElementOrder/ports",
)  # fmt: skip
_CONNECTING = frozenset({"proxy", "log", "exec", "attach", "portforward"})
"""Subresources whose answer is somebody else's."""
_GONE = frozenset({501, 502, 503, 504})
"""What is told of others: kubelets, extension servers, webhooks."""


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    running = RunningServer(tmp_path_factory.mktemp("fuzz"), runtime_config=("api/all=true",))
    running.start()
    running.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    yield Direct(running)
    running.stop()


@pytest.fixture
def failures() -> Iterator[Failures]:
    kept = Failures()
    logging.getLogger("tiphys").addHandler(kept)
    yield kept
    logging.getLogger("tiphys").removeHandler(kept)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**48))
def test_any_json_for_any_kind_and_verb(direct: Direct, failures: Failures, seed: int) -> None:
    random = Random(seed)
    for method, path, query, body, content_type, accept in _requests(random.choice(_KINDS), random):
        answered = direct(method, path, query, body, content_type, accept)
        told = (
            f"seed {seed}: {method} {path}?{query} {content_type} {body!r}: {answered.status} {answered.body[:600]!r}"
        )
        assert answered.status < 500 or answered.status in _GONE, told + "".join(failures.texts)
        assert not failures.texts, told + "".join(failures.texts)


def _requests(kind: Kind[Any], random: Random) -> Iterator[tuple[str, str, str, bytes, str, str]]:
    """Made, changed in all ways, listed, watched, deleted."""
    base = kind.path("default")
    valid = _valid(kind)
    made = body_of(kind.schema, valid, random)
    name = valid["metadata"].get("name") or "any"
    path = f"{base}/{quote(name, safe='')}"
    yield "POST", base, _query(random), encoded(made), "application/json", random.choice(_ACCEPTED)
    yield "POST", base, "", encoded(valid), "application/json", "application/json"
    below = ["", *(f"/{subresource.name}" for subresource in kind.subresources if subresource.name not in _CONNECTING)]
    for _ in range(4):
        tail = random.choice(below)
        body = body_of(kind.schema, valid, random) if random.random() < 0.8 else deepcopy(random.choice(JUNK))
        if random.random() < 0.4:
            yield "PUT", path + tail, _query(random), encoded(body), "application/json", random.choice(_ACCEPTED)
            continue
        patch = random.choice(_PATCHES)
        if patch == _PATCHES[0]:
            body = [_operation(body, random) for _ in range(random.choice((1, 1, 2, 5)))]
        elif isinstance(body, dict) and random.random() < 0.3:
            body = _directed(body, random)
        query = _query(random) if patch != _PATCHES[3] else "fieldManager=fuzz&force=true"
        yield "PATCH", path + tail, query, encoded(body), patch, random.choice(_ACCEPTED)
    yield (
        "GET",
        random.choice((base, path, path + random.choice(below))),
        _query(random),
        b"",
        "",
        random.choice(_ACCEPTED),
    )
    yield "GET", base, _query(random) + "&watch=1", b"", "", random.choice(_ACCEPTED)
    options = random.choice(
        (b"", encoded({"preconditions": {"uid": random.choice(TEXTS)}, "propagationPolicy": "x"}), b"[]")
    )
    yield "DELETE", random.choice((path, path, base)), _query(random), options, "application/json", "application/json"
    yield "DELETE", path, "gracePeriodSeconds=0", b"", "", "application/json"


def _valid(kind: Kind[Any]) -> dict[str, Any]:
    if kind.group_resource in BODIES:
        return valid_body(kind)
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": "any"}, "spec": {}}


def _query(random: Random) -> str:
    if random.random() < 0.4:
        return ""
    texts = (
        *TEXTS,
        "All",
        "NotOlderThan",
        "Exact",
        "Strict",
        "Ignore",
        "true",
        "false",
        "Foreground",
        "Background",
        "Orphan",
    )
    pairs = [(random.choice(_PARAMETERS), random.choice(texts)) for _ in range(random.choice((1, 1, 2, 3)))]
    return "&".join(f"{name}={quote(text, errors='replace')}" for name, text in pairs)


def _operation(body: Any, random: Random) -> Any:
    made = {
        "op": random.choice(("add", "remove", "replace", "move", "copy", "test", "x", 1)),
        "path": random.choice(_POINTERS),
        "from": random.choice(_POINTERS),
        "value": random.choice((body, deepcopy(random.choice(JUNK)), random.choice(TEXTS))),
    }
    return spoiled(made, random) if random.random() < 0.2 else made


def _directed(body: dict[str, Any], random: Random) -> dict[str, Any]:
    """Directives of strategic merge patches, where they mean something and where not."""
    name = random.choice(
        (
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
            "$deleteFromPrimitiveList/finalizers",
            "$setElementOrder/ports",
        )
    )
    directive = {name: random.choice(("delete", "replace", "merge", "x", ["a"], [{"name": "c"}], [{}], None, 1, {}))}
    inner = body.get("spec")
    if isinstance(inner, dict) and random.random() < 0.5:
        inner.update(directive)
    else:
        body.update(directive)
    return body
