"""The mistakes that people make in other kinds, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec, kinds
from tiphys.api.kind import Kind

_TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
}


def made(kind: Kind[Any], **fields: Any) -> Any:
    obj = codec.from_json(kind.schema, {"metadata": {"name": "x", "namespace": "default"}, **fields})
    kind.prepare(obj, None)
    kind.default(obj)
    return obj


def deployment(selector: Any = None, template: Any = None, **spec: Any) -> Any:
    selector = {"matchLabels": {"app": "web"}} if selector is None else selector
    return made(kinds.DEPLOYMENT, spec={"selector": selector, "template": template or _TEMPLATE, **spec})


def service(**spec: Any) -> Any:
    return made(kinds.SERVICE, spec={"ports": [{"port": 80}], **spec})


def config_map(**fields: Any) -> Any:
    return made(kinds.CONFIGMAP, **fields)


def role_binding(**ref: str) -> Any:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r", **ref}
    return made(kinds.ROLEBINDING, roleRef=ref, subjects=[{"kind": "User", "name": "u"}])


CREATE: list[tuple[Kind[Any], Any, str]] = [
    (
        kinds.DEPLOYMENT,
        deployment(selector={"matchLabels": {"app": "other"}}),
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ),
    (
        kinds.DEPLOYMENT,
        deployment(selector={}),
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
    ),
    (kinds.DEPLOYMENT, deployment(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (
        kinds.DEPLOYMENT,
        deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
    ),
    (
        kinds.DEPLOYMENT,
        deployment(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    (
        kinds.DEPLOYMENT,
        deployment(template={**_TEMPLATE, "spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}),
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    (
        kinds.DEPLOYMENT,
        deployment(selector={"matchExpressions": [{"key": "app", "operator": "Is", "values": ["web"]}]}),
        'spec.selector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
    ),
    (kinds.SERVICE, service(ports=[]), "spec.ports: Required value"),
    (
        kinds.SERVICE,
        service(ports=[{"port": 0}]),
        "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
    ),
    (kinds.SERVICE, service(ports=[{"port": 1}, {"port": 2}]), "spec.ports[0].name: Required value"),
    (
        kinds.SERVICE,
        service(ports=[{"port": 80, "nodePort": 30080}]),
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    (
        kinds.SERVICE,
        service(type="NodePort", clusterIP="None"),
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
    ),
    (
        kinds.SERVICE,
        service(type="Magic"),
        'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
        '"NodePort"',
    ),
    (kinds.SERVICE, service(type="ExternalName"), "spec.externalName: Required value"),
    (
        kinds.SERVICE,
        service(clusterIP="1.2.3"),
        'spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ),
    (
        kinds.SERVICE,
        service(sessionAffinity="Sticky"),
        'spec.sessionAffinity: Unsupported value: "Sticky": supported values: "ClientIP", "None"',
    ),
    (
        kinds.CONFIGMAP,
        config_map(data={"a/b": ""}),
        'data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '
        "'-', '_' or '.' "
        "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ),
    (kinds.CONFIGMAP, config_map(data={"a": "x" * 1048577}), "[]: Too long: may not be more than 1048576 bytes"),
    (
        kinds.CONFIGMAP,
        config_map(data={"a": ""}, binaryData={"a": ""}),
        'data[a]: Invalid value: "a": duplicate of key present in binaryData',
    ),
    (kinds.SECRET, made(kinds.SECRET, type="kubernetes.io/tls"), "data[tls.crt]: Required value"),
    (
        kinds.ROLE,
        made(kinds.ROLE, rules=[{"verbs": [], "resources": ["pods"]}]),
        "rules[0].verbs: Required value: verbs must contain at least one value",
    ),
    (
        kinds.ROLEBINDING,
        role_binding(kind="Rule"),
        'roleRef.kind: Unsupported value: "Rule": supported values: "Role", "ClusterRole"',
    ),
    (
        kinds.ENDPOINTSLICE,
        made(kinds.ENDPOINTSLICE, addressType="IPv4", endpoints=[{"addresses": ["127.0.0.1"]}]),
        'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range '
        "(127.0.0.0/8, ::1/128)",
    ),
    (
        kinds.LEASE,
        made(kinds.LEASE, spec={"leaseDurationSeconds": 0}),
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
    ),
    (
        kinds.NODE,
        made(kinds.NODE, status={"declaredFeatures": ["B", "A"]}),
        'status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically',
    ),
    (
        kinds.NODE,
        made(kinds.NODE, status={"declaredFeatures": ["A", "A"]}),
        'status.declaredFeatures[1]: Duplicate value: "A"',
    ),
    (
        kinds.NODE,
        made(kinds.NODE, status={"declaredFeatures": ["b"]}),
        'status.declaredFeatures[0]: Invalid value: "b": invalid feature name "b": must start with an UpperCamelCase '
        "segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain "
        "only alphanumeric characters and slashes",
    ),
    (
        kinds.NODE,
        made(kinds.NODE, spec={"taints": [{"key": "a", "effect": "Never"}]}),
        'metadata.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", '
        '"NoExecute"',
    ),
]


@pytest.mark.parametrize(("kind", "wrong", "message"), CREATE, ids=[f"{k.kind}: {m[:50]}" for k, _, m in CREATE])
def test_create(kind: Kind[Any], wrong: Any, message: str) -> None:
    assert message in [str(error) for error in kind.validate(wrong, None)]


UPDATE: list[tuple[Kind[Any], Any, Any, str]] = [
    (
        kinds.DEPLOYMENT,
        deployment(),
        deployment(selector={"matchLabels": {"app": "old"}}),
        'spec.selector: Invalid value: {"matchLabels":{"app":"web"}}: field is immutable',
    ),
    (
        kinds.CONFIGMAP,
        config_map(data={"a": "2"}, immutable=True),
        config_map(data={"a": "1"}, immutable=True),
        "data: Forbidden: field is immutable when `immutable` is set",
    ),
    (
        kinds.CONFIGMAP,
        config_map(),
        config_map(immutable=True),
        "immutable: Forbidden: field is immutable when `immutable` is set",
    ),
    (
        kinds.SECRET,
        made(kinds.SECRET, type="a/b"),
        made(kinds.SECRET),
        'type: Invalid value: "a/b": field is immutable',
    ),
    (
        kinds.ROLEBINDING,
        role_binding(name="b"),
        role_binding(name="a"),
        'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"b"}: '
        "cannot change roleRef",
    ),
    (
        kinds.SERVICE,
        service(clusterIP="10.96.0.2"),
        service(clusterIP="10.96.0.1"),
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.2"]: may not change once set',
    ),
    (
        kinds.NODE,
        made(kinds.NODE, spec={"podCIDRs": ["10.244.2.0/24"]}),
        made(kinds.NODE, spec={"podCIDRs": ["10.244.1.0/24"]}),
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
    ),
]


@pytest.mark.parametrize(("kind", "new", "old", "message"), UPDATE, ids=[f"{k.kind}: {m[:50]}" for k, *_, m in UPDATE])
def test_update(kind: Kind[Any], new: Any, old: Any, message: str) -> None:
    assert message in [str(error) for error in kind.validate(new, old)]


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        (kinds.DEPLOYMENT, deployment()),
        (kinds.SERVICE, service()),
        (kinds.SERVICE, service(type="NodePort")),
        (kinds.SERVICE, service(clusterIP="None")),
        (kinds.CONFIGMAP, config_map(data={"a": "1"})),
        (kinds.ROLEBINDING, role_binding()),
    ],
)
def test_good_objects_stay_good(kind: Kind[Any], obj: Any) -> None:
    assert list(kind.validate(obj, None)) == []
    assert list(kind.validate(obj, obj)) == []


def test_string_data_becomes_data() -> None:
    secret = made(kinds.SECRET, stringData={"a": "text"}, data={"a": "b2xk", "b": "Yg=="})
    assert secret.data == {"a": b"text", "b": b"b"}
    assert secret.string_data == {}
    assert secret.type == "Opaque"


def test_a_service_keeps_its_addresses_when_they_are_left_out() -> None:
    old = service(type="NodePort", clusterIP="10.96.0.1", ports=[{"port": 80, "nodePort": 30080}])
    new = codec.from_json(kinds.SERVICE.schema, {"spec": {"type": "NodePort", "ports": [{"port": 80}]}})
    kinds.SERVICE.prepare(new, old)
    assert (new.spec.cluster_ips, new.spec.ports[0].node_port) == (["10.96.0.1"], 30080)


def test_a_service_drops_node_ports_with_its_type() -> None:
    old = service(type="NodePort", clusterIP="10.96.0.1", ports=[{"port": 80, "nodePort": 30080}])
    spec = {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Cluster"}
    new = codec.from_json(kinds.SERVICE.schema, {"spec": spec})
    kinds.SERVICE.prepare(new, old)
    kinds.SERVICE.default(new)
    assert (new.spec.ports[0].node_port, new.spec.external_traffic_policy) == (0, "")
    assert list(kinds.SERVICE.validate(new, old)) == []
