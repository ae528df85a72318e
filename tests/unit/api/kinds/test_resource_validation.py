"""Claims, classes and slices of dynamic resource allocation, with upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.errors import invalid
from tiphys.api.kind import Kind
from tiphys.api.kinds import (
    DEVICECLASS,
    RESOURCECLAIM,
    RESOURCECLAIM_V1BETA1,
    RESOURCECLAIMTEMPLATE,
    RESOURCESLICE,
    RESOURCESLICE_V1BETA1,
)
from tiphys.api.kinds.resource import v1beta1
from tiphys.api.kinds.resource.claim_validation import validate_claim_spec
from tiphys.api.meta.schema import copy_of

_EXACT = {"name": "r", "exactly": {"deviceClassName": "gpu"}}
_DEVICE = {"name": "gpu0"}
_UID = "12345678-1234-1234-1234-123456789abc"


def _claim(*requests: Any, **devices: Any) -> dict[str, Any]:
    return {"spec": {"devices": {"requests": list(requests), **devices}}}


def _slice(**spec: Any) -> dict[str, Any]:
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    base = {"driver": "d.example.com", "pool": pool, "allNodes": True, "devices": [_DEVICE]}
    return {"spec": {**base, **spec}}


def _make(kind: Kind[Any], body: dict[str, Any]) -> Any:
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": "x", "namespace": "d"}}
    obj = codec.from_json(kind.schema, {**head, **body})
    kind.default(obj)
    return obj


_AT = "spec.devices.requests[0]"


@pytest.mark.parametrize(
    ("kind", "body", "errors"),
    [
        (RESOURCECLAIM, _claim(_EXACT), []),
        (
            RESOURCECLAIM,
            _claim({"name": "r"}),
            [f"{_AT}: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        ),
        (RESOURCECLAIM, _claim(_EXACT, _EXACT), ['spec.devices.requests[1]: Duplicate value: "r"']),
        (
            RESOURCECLAIM,
            _claim({"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "All", "count": 2}}),
            [f"{_AT}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"],
        ),
        (RESOURCECLAIM, _claim({"name": "r", "exactly": {}}), [f"{_AT}.exactly.deviceClassName: Required value"]),
        (
            RESOURCECLAIM,
            _claim(*({"name": f"r{i}", "exactly": {"deviceClassName": "gpu"}} for i in range(33))),
            ["spec.devices.requests: Too many: 33: must have at most 32 items"],
        ),
        (
            RESOURCECLAIM,
            _claim(_EXACT, constraints=[{"requests": ["other"], "matchAttribute": "a.example.com/b"}]),
            [
                'spec.devices.constraints[0].requests[0]: Invalid value: "other": must be the name of a request in the '
                "claim or the name of a request and a subrequest separated by '/'"
            ],
        ),
        (
            RESOURCECLAIM,
            _claim(_EXACT, config=[{"opaque": {"driver": "d.example.com", "parameters": {"a": 1}}}]),
            [],
        ),
        (RESOURCECLAIM, _claim(_EXACT, config=[{}]), ["spec.devices.config[0].opaque: Required value"]),
        (RESOURCECLAIMTEMPLATE, {"spec": _claim(_EXACT)}, []),
        (DEVICECLASS, {"spec": {"selectors": [{}]}}, ["spec.selectors[0].cel: Required value"]),
        (
            DEVICECLASS,
            {"spec": {"extendedResourceName": "cpu"}},
            ['spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name'],
        ),
        (RESOURCESLICE, _slice(), []),
        (
            RESOURCESLICE,
            _slice(allNodes=None),
            [
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
                "`perDeviceNodeSelection` is required"
            ],
        ),
        (
            RESOURCESLICE,
            _slice(devices=[{"name": "g", "attributes": {"v": {"version": "one"}}}]),
            [
                'spec.devices[0].attributes[v].version: Invalid value: "one": must be a string compatible with '
                "semver.org spec 2.0.0"
            ],
        ),
        (
            RESOURCESLICE,
            _slice(devices=[{"name": "g", "attributes": {"1x": {"bool": True}}}]),
            [
                'spec.devices[0].attributes: Invalid value: "1x": a valid C identifier must start with alphabetic '
                "character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or "
                "'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
            ],
        ),
        (
            RESOURCESLICE,
            _slice(devices=[{"name": "g", "taints": [{"key": "a", "effect": "Maybe"}]}]),
            [
                'spec.devices[0].taints[0].effect: Unsupported value: "Maybe": supported values: "NoExecute", '
                '"NoSchedule", "None"'
            ],
        ),
        (RESOURCESLICE, _slice(devices=[_DEVICE, _DEVICE]), ['spec.devices[1]: Duplicate value: "gpu0"']),
    ],
)
def test_new_objects(kind: Kind[Any], body: dict[str, Any], errors: list[str]) -> None:
    assert [str(error) for error in kind.validate(_make(kind, body), None)] == errors


def test_requests_are_for_one_device_unless_they_say_more() -> None:
    request = _make(RESOURCECLAIM, _claim(_EXACT)).spec.devices.requests[0].exactly
    assert (request.allocation_mode, request.count) == ("ExactCount", 1)


def test_a_claim_never_changes() -> None:
    old, new = _make(RESOURCECLAIM, _claim(_EXACT)), _make(RESOURCECLAIM, _claim())
    assert [error.path for error in RESOURCECLAIM.validate(new, old)] == ["spec"]


def test_selectors_are_shown_to_the_compiler() -> None:
    selector = {"cel": {"expression": "device.driver == 'x'"}}
    claim = _make(RESOURCECLAIM, _claim({"name": "r", "exactly": {"deviceClassName": "g", "selectors": [selector]}}))
    found = list(validate_claim_spec(claim.spec, "spec", lambda path, text: [invalid(path, text, "no")]))
    assert [error.path for error in found] == [f"{_AT}.exactly.selectors[0].cel.expression"]


def _allocated(**status: Any) -> Any:
    result = {"request": "r", "driver": "d.example.com", "pool": "p", "device": "gpu0"}
    return _make(
        RESOURCECLAIM, {**_claim(_EXACT), "status": {"allocation": {"devices": {"results": [result]}}, **status}}
    )


@pytest.mark.parametrize(
    ("status", "errors"),
    [
        ({}, []),
        ({"reservedFor": [{"resource": "pods", "name": "p", "uid": _UID}]}, []),
        ({"reservedFor": [{"resource": "pods", "name": "p"}]}, ["status.reservedFor[0].uid: Required value"]),
        ({"devices": [{"driver": "d.example.com", "pool": "p", "device": "gpu0"}]}, []),
        (
            {"devices": [{"driver": "d.example.com", "pool": "p", "device": "other"}]},
            [
                'status.devices[0]: Invalid value: "d.example.com/p/other": must be an allocated device in the claim'
            ],
        ),
        (
            {"allocation": None, "reservedFor": [{"resource": "pods", "name": "p", "uid": _UID}]},
            ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        ),
    ],
)  # fmt: skip
def test_statuses(status: dict[str, Any], errors: list[str]) -> None:
    old = _make(RESOURCECLAIM, _claim(_EXACT))
    assert [str(error) for error in RESOURCECLAIM.validate_status(_allocated(**status), old)] == errors


def test_an_allocation_stays_as_it_is() -> None:
    old = _allocated()
    new = copy_of(old)
    new.status.allocation.devices.results[0].device = "gpu1"
    assert [error.path for error in RESOURCECLAIM.validate_status(new, old)] == ["status.allocation"]


def test_the_older_version_is_the_same_claim() -> None:
    flat = _make(RESOURCECLAIM_V1BETA1, _claim({"name": "r", "deviceClassName": "gpu"}))
    assert flat.spec.devices.requests[0].count == 1
    newer = v1beta1.claim_to_v1(flat)
    assert codec.to_json(newer.spec) == codec.to_json(_make(RESOURCECLAIM, _claim(_EXACT)).spec)
    assert v1beta1.claim_from_v1(newer) == flat
    assert list(RESOURCECLAIM_V1BETA1.validate(flat, None)) == []


def test_the_older_version_is_the_same_slice() -> None:
    device = {"name": "g", "basic": {"attributes": {"v": {"int": 1}}, "capacity": {"m": {"value": "1Gi"}}}}
    old = _make(RESOURCESLICE_V1BETA1, _slice(devices=[device], nodeName="n", allNodes=False))
    newer = v1beta1.slice_to_v1(old)
    assert (newer.spec.node_name, newer.spec.all_nodes) == ("n", None)
    assert newer.spec.devices[0].attributes["v"].int_ == 1
    assert v1beta1.slice_from_v1(newer) == old
