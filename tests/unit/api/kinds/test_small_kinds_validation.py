"""Common mistakes in networking and storage kinds, with upstream's words; and what may not change."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.api.kinds import (
    CSIDRIVER,
    CSINODE,
    CSISTORAGECAPACITY,
    INGRESS,
    INGRESSCLASS,
    IPADDRESS,
    NETWORKPOLICY,
    SERVICECIDR,
    STORAGECLASS,
    VOLUMEATTACHMENT,
    VOLUMEATTRIBUTESCLASS,
)

_BACKEND = {"service": {"name": "web", "port": {"number": 80}}}


def _path(path: str, **changed: Any) -> dict[str, Any]:
    made = {"path": path, "pathType": "Prefix", "backend": _BACKEND, **changed}
    return {"spec": {"rules": [{"host": "a.example", "http": {"paths": [made]}}]}}


def _ports(**port: Any) -> dict[str, Any]:
    return {"spec": {"podSelector": {}, "ingress": [{"ports": [port]}]}}


def _block(**block: Any) -> dict[str, Any]:
    return {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]}}


_AT = "spec.rules[0].http.paths[0]"


def _make(kind: Kind[Any], body: dict[str, Any]) -> Any:
    head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": "x", "namespace": "d"}}
    obj = codec.from_json(kind.schema, {**head, **body})
    kind.default(obj)
    return obj


@pytest.mark.parametrize(
    ("kind", "body", "errors"),
    [
        (INGRESS, _path("/"), []),
        (INGRESS, {"spec": {}}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (INGRESS, _path("a"), [f'{_AT}.path: Invalid value: "a": must be an absolute path']),
        (INGRESS, _path("/a//b"), [f"{_AT}.path: Invalid value: \"/a//b\": must not contain '//'"]),
        (INGRESS, _path("/", pathType=None), [f"{_AT}.pathType: Required value: pathType must be specified"]),
        (
            INGRESS,
            _path("/", backend={}),
            [f'{_AT}.backend: Invalid value: "": resource or service backend is required'],
        ),
        (
            INGRESS,
            _path("/", backend={"service": {"name": "web"}}),
            [f"{_AT}.backend: Required value: port name or number is required"],
        ),
        (
            INGRESS,
            {"spec": {"defaultBackend": _BACKEND, "rules": [{"host": "10.0.0.1"}]}},
            ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
        ),
        (INGRESS, {"spec": {"defaultBackend": _BACKEND, "rules": [{"host": "*.example"}]}}, []),
        (INGRESSCLASS, {"spec": {"controller": "example.com/x"}}, []),
        (INGRESSCLASS, {"spec": {}}, ["spec.controller: Required value"]),
        (
            INGRESSCLASS,
            {"spec": {"controller": "example.com/x", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}},
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        ),
        (NETWORKPOLICY, _ports(port=80, endPort=90), []),
        (
            NETWORKPOLICY,
            _ports(port=80, endPort=70),
            [
                "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
            ],
        ),
        (
            NETWORKPOLICY,
            _ports(port="web", endPort=70),
            ["spec.ingress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric"],
        ),
        (NETWORKPOLICY, _block(cidr="10.0.0.0/8", **{"except": ["10.1.0.0/16"]}), []),
        (
            NETWORKPOLICY,
            _block(cidr="10.1.0.0/16", **{"except": ["10.0.0.0/8"]}),
            [
                'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of '
                "`cidr`"
            ],
        ),
        (
            NETWORKPOLICY,
            {"spec": {"podSelector": {}, "egress": [{"to": [{}]}]}},
            ["spec.egress[0].to[0]: Required value: must specify a peer"],
        ),
        (IPADDRESS, {"spec": {}}, ["spec.parentRef: Required value"]),
        (IPADDRESS, {"spec": {"parentRef": {"resource": "services", "name": "a", "namespace": "b"}}}, []),
        (SERVICECIDR, {"spec": {}}, ["spec.cidrs: Required value: at least one CIDR required"]),
        (
            SERVICECIDR,
            {"spec": {"cidrs": ["10.0.0.0/16", "10.1.0.0/16"]}},
            [
                'spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than one IP for each IP '
                "family, i.e 192.168.0.0/24 and 2001:db8::/64"
            ],
        ),
        (STORAGECLASS, {"provisioner": "example.com/disk"}, []),
        (STORAGECLASS, {}, ["provisioner: Required value"]),
        (
            STORAGECLASS,
            {"provisioner": "p", "volumeBindingMode": "Soon"},
            ['volumeBindingMode: Unsupported value: "Soon": supported values: "Immediate", "WaitForFirstConsumer"'],
        ),
        (
            VOLUMEATTRIBUTESCLASS,
            {"driverName": "d"},
            ["parameters: Required value: must contain at least one key/value pair"],
        ),
        (CSINODE, {"spec": {"drivers": [{"name": "d"}]}}, ["spec.drivers[0].nodeID: Required value"]),
        (CSIDRIVER, {"spec": {}}, []),
        (
            CSIDRIVER,
            {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 1}]}},
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 "
                "minutes"
            ],
        ),
        (CSISTORAGECAPACITY, {"storageClassName": "c", "capacity": "1Gi"}, []),
        (CSISTORAGECAPACITY, {"storageClassName": "c", "capacity": "-1"}, [
            'capacity: Invalid value: "-1": must be greater than or equal to 0'
        ]),
        (
            VOLUMEATTACHMENT,
            {"spec": {"attacher": "a", "nodeName": "n", "source": {}}},
            [
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ],
        ),
    ],
)  # fmt: skip
def test_new_objects(kind: Kind[Any], body: dict[str, Any], errors: list[str]) -> None:
    assert [str(error) for error in kind.validate(_make(kind, body), None)] == errors


@pytest.mark.parametrize(
    ("kind", "before", "after", "errors"),
    [
        (
            INGRESSCLASS,
            {"spec": {"controller": "a.example/x"}},
            {"spec": {"controller": "b.example/x"}},
            ['spec.controller: Invalid value: "b.example/x": field is immutable'],
        ),
        (
            STORAGECLASS,
            {"provisioner": "p", "parameters": {"a": "b"}},
            {"provisioner": "p", "parameters": {"a": "c"}},
            ['parameters: Invalid value: {"a":"c"}: field is immutable'],
        ),
        (STORAGECLASS, {"provisioner": "p"}, {"provisioner": "p", "allowVolumeExpansion": True}, []),
        (
            SERVICECIDR,
            {"spec": {"cidrs": ["10.0.0.0/16"]}},
            {"spec": {"cidrs": ["10.0.0.0/16", "fd00::/112"]}},
            [],
        ),
        (
            SERVICECIDR,
            {"spec": {"cidrs": ["10.0.0.0/16"]}},
            {"spec": {"cidrs": ["10.1.0.0/16"]}},
            ['spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable'],
        ),
        (
            VOLUMEATTRIBUTESCLASS,
            {"driverName": "d", "parameters": {"a": "b"}},
            {"driverName": "d", "parameters": {"a": "c"}},
            ["parameters: Forbidden: updates to parameters are forbidden."],
        ),
        (
            CSINODE,
            {"spec": {"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": 1}}]}},
            {"spec": {"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": 2}}]}},
            [],
        ),
        (
            NETWORKPOLICY,
            _block(cidr="10.0.0.1/8"),
            _block(cidr="10.0.0.1/8"),
            [],
        ),
    ],
)
def test_changes(kind: Kind[Any], before: dict[str, Any], after: dict[str, Any], errors: list[str]) -> None:
    assert [str(error) for error in kind.validate(_make(kind, after), _make(kind, before))] == errors


def test_policies_say_which_way_they_go() -> None:
    assert _make(NETWORKPOLICY, {"spec": {"podSelector": {}}}).spec.policy_types == ["Ingress"]
    both = _make(NETWORKPOLICY, {"spec": {"podSelector": {}, "egress": [{}]}})
    assert both.spec.policy_types == ["Ingress", "Egress"]
    assert _make(NETWORKPOLICY, _ports(port=1)).spec.ingress[0].ports[0].protocol == "TCP"


def test_addresses_are_named_canonically() -> None:
    assert IPADDRESS.name_rule("10.0.0.1", False) == []
    assert IPADDRESS.name_rule("2001:DB8::1", False) == ['must be in canonical form ("2001:db8::1")']
