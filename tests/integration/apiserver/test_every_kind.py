"""Every kind that is stored, in client-go's own media type: made, read, listed, watched, changed, deleted."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from api_harness import ADMIN_TOKEN, RunningServer

from tiphys.api import codec, protobuf
from tiphys.api.kind import Kind
from tiphys.api.kinds import KINDS, PREVIEW_KINDS
from tiphys.api.meta.schema import Struct, field, proto

PROTOBUF = "application/vnd.kubernetes.protobuf"
_ACCEPT = {"Accept": f"{PROTOBUF},application/json"}
_TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
_JOB_TEMPLATE = {"spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}
_SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE}
_HOOK = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://a.example.com"},
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
}
_POLICY = {
    "matchConstraints": {
        "resourceRules": [
            {
                "apiGroups": ["none.example.com"],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["things"],
            }
        ]
    },
    "failurePolicy": "Ignore",
}
_REFERENCE = {"kind": "Pod", "name": "p", "namespace": "default"}
_RBAC = {"apiGroup": "rbac.authorization.k8s.io", "name": "view"}
BODIES: dict[str, dict[str, Any]] = {
    "configmaps": {"data": {"k": "v"}},
    "endpoints": {},
    "events": {"involvedObject": _REFERENCE},
    "limitranges": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
    "namespaces": {},
    "nodes": {},
    "persistentvolumes": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}
    },
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "pods": {"spec": _TEMPLATE["spec"]},
    "podtemplates": {"template": _TEMPLATE},
    "replicationcontrollers": {"spec": {"selector": {"a": "b"}, "template": _TEMPLATE}},
    "resourcequotas": {"spec": {"hard": {"services": "10"}}},
    "secrets": {"data": {"k": "dg=="}},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "serviceaccounts": {},
    "mutatingadmissionpolicies.admissionregistration.k8s.io": {
        "spec": {
            **_POLICY,
            "reinvocationPolicy": "Never",
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}},
            ],
        }
    },
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": {"spec": {"policyName": "x"}},
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [_HOOK]},
    "validatingadmissionpolicies.admissionregistration.k8s.io": {
        "spec": {**_POLICY, "validations": [{"expression": "true"}]}
    },
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": {
        "spec": {"policyName": "x", "validationActions": ["Deny"]}
    },
    "validatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [_HOOK]},
    "customresourcedefinitions.apiextensions.k8s.io": {
        "metadata": {"name": "things.every.example.com"},
        "spec": {
            "group": "every.example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "listKind": "ThingList", "singular": "thing"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    },
    "apiservices.apiregistration.k8s.io": {
        "metadata": {"name": "v1.other.example.com"},
        "spec": {
            "group": "other.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": "default", "name": "none", "port": 443},
        },
    },
    "controllerrevisions.apps": {"data": {"a": [1]}, "revision": 1},
    "daemonsets.apps": {"spec": _SELECTED},
    "deployments.apps": {"spec": _SELECTED},
    "replicasets.apps": {"spec": _SELECTED},
    "statefulsets.apps": {"spec": {**_SELECTED, "serviceName": "s"}},
    "horizontalpodautoscalers.autoscaling": {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3}
    },
    "cronjobs.batch": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": _JOB_TEMPLATE}}}},
    "jobs.batch": {"spec": {"template": _JOB_TEMPLATE}},
    "certificatesigningrequests.certificates.k8s.io": {
        "spec": {"signerName": "example.com/signer", "usages": ["digital signature"]}
    },
    "leases.coordination.k8s.io": {"spec": {"holderIdentity": "me"}},
    "leasecandidates.coordination.k8s.io": {
        "spec": {
            "leaseName": "l",
            "binaryVersion": "1.0.0",
            "emulationVersion": "1.0.0",
            "strategy": "OldestEmulationVersion",
        }
    },
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4", "endpoints": []},
    "events.events.k8s.io": {
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "example.com/c",
        "reportingInstance": "i",
        "action": "Do",
        "reason": "Because",
        "type": "Normal",
        "regarding": _REFERENCE,
    },
    "flowschemas.flowcontrol.apiserver.k8s.io": {
        "spec": {"priorityLevelConfiguration": {"name": "global-default"}, "matchingPrecedence": 1000}
    },
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    },
    "ingresses.networking.k8s.io": {"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}},
    "ingressclasses.networking.k8s.io": {"spec": {"controller": "example.com/c"}},
    "ipaddresses.networking.k8s.io": {
        "metadata": {"name": "192.0.2.7"},
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "web"}},
    },
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": {}}},
    "servicecidrs.networking.k8s.io": {"spec": {"cidrs": ["192.0.2.0/24"]}},
    "runtimeclasses.node.k8s.io": {"handler": "h"},
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}},
    "clusterrolebindings.rbac.authorization.k8s.io": {"roleRef": {**_RBAC, "kind": "ClusterRole"}},
    "clusterroles.rbac.authorization.k8s.io": {},
    "rolebindings.rbac.authorization.k8s.io": {"roleRef": {**_RBAC, "kind": "Role"}},
    "roles.rbac.authorization.k8s.io": {},
    "deviceclasses.resource.k8s.io": {"spec": {}},
    "resourceclaims.resource.k8s.io": {
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}
    },
    "resourceclaimtemplates.resource.k8s.io": {
        "spec": {"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}}}
    },
    "resourceslices.resource.k8s.io": {
        "spec": {
            "driver": "d.example.com",
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
            "allNodes": True,
            "devices": [{"name": "gpu0", "attributes": {"model": {"string": "x"}}}],
        }
    },
    "priorityclasses.scheduling.k8s.io": {"value": 5},
    "csidrivers.storage.k8s.io": {"spec": {}},
    "csinodes.storage.k8s.io": {"spec": {"drivers": []}},
    "csistoragecapacities.storage.k8s.io": {"storageClassName": "c"},
    "storageclasses.storage.k8s.io": {"provisioner": "example.com/p"},
    "volumeattachments.storage.k8s.io": {
        "spec": {"attacher": "a.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    },
    "volumeattributesclasses.storage.k8s.io": {"driverName": "d.example.com", "parameters": {"a": "b"}},
}
_OWN_SHAPE = {
    "autoscaling/v1": {},
    "resource.k8s.io/v1beta1": {
        "resourceclaims": {"spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "gpu"}]}}},
        "resourceclaimtemplates": {
            "spec": {"spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "gpu"}]}}}
        },
        "resourceslices": {
            "spec": {
                "driver": "d.example.com",
                "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                "allNodes": True,
                "devices": [{"name": "gpu0", "basic": {"attributes": {"model": {"string": "x"}}}}],
            }
        },
    },
}
"""Versions whose objects look different."""
_HAVE_CONTROLLERS = ("apiextensions.k8s.io", "apiregistration.k8s.io", "flowcontrol.apiserver.k8s.io")
"""Groups whose objects the server itself writes a status to."""
WRITTEN = [
    kind
    for kind in (*KINDS, *PREVIEW_KINDS)
    if kind.stored and "create" in kind.verbs and kind.group_resource in BODIES
]


class _Raw(Struct):
    raw: Annotated[bytes, proto(1)] = b""


class _Event(Struct):
    type: Annotated[str, proto(1)] = ""
    object: Annotated[_Raw, proto(2)] = field(default_factory=_Raw)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with every version on, and nobody who acts on what is made."""
    running = RunningServer(tmp_path_factory.mktemp("every"), runtime_config=("api/all=true",))
    running.start()
    running.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    yield running
    running.stop()


def test_every_kind_that_is_on_has_a_body_here() -> None:
    kinds = [kind for kind in KINDS if kind.stored and "create" in kind.verbs]
    assert {kind.group_resource for kind in kinds} <= set(BODIES)


def _body(kind: Kind[Any]) -> dict[str, Any]:
    own: dict[str, Any] = _OWN_SHAPE.get(kind.api_version, {})
    made = json.loads(json.dumps(own.get(kind.plural, BODIES[kind.group_resource])))
    if kind.kind == "CertificateSigningRequest":
        made["spec"]["request"] = base64.b64encode(_signing_request()).decode()
    made["metadata"] = {"name": f"every-{kind.version}", **made.get("metadata", {}), "annotations": {"a": "b"}}
    return {"kind": kind.kind, "apiVersion": kind.api_version, **made}


def _signing_request() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def _read(kind: Kind[Any], body: bytes, schema: Any = None) -> Any:
    assert body.startswith(b"k8s\x00"), body[:200]
    version, name, message = protobuf.open_envelope(body)
    obj: Any = protobuf.decode(schema or kind.schema, message)
    assert version == kind.api_version
    obj.kind, obj.api_version = name, version
    return obj


@pytest.mark.parametrize("kind", WRITTEN, ids=repr)
def test_in_protobuf(served: RunningServer, kind: Kind[Any]) -> None:
    """Made, read, listed, watched, changed and deleted."""
    body = _body(kind)
    name = body["metadata"]["name"]
    path = kind.path("default")
    sent = protobuf.wrap(codec.from_json(kind.schema, body))
    since = served.request("GET", kind.path()).json["metadata"]["resourceVersion"]
    made = served.request("POST", path, sent, content_type=PROTOBUF, headers=_ACCEPT)
    assert made.status == 201, made.body
    assert made.headers["Content-Type"] == PROTOBUF
    obj = _read(kind, made.body)
    assert obj.metadata.name == name

    got = _read(kind, served.request("GET", f"{path}/{name}", headers=_ACCEPT).body)
    assert got.metadata.uid == obj.metadata.uid
    plain: Any = codec.decode(kind.schema, served.request("GET", f"{path}/{name}").body)
    if kind.group not in _HAVE_CONTROLLERS:
        assert got == plain == obj

    listed = _read(kind, served.request("GET", path, headers=_ACCEPT).body, codec.list_schema(kind.schema))
    assert obj.metadata.uid in [item.metadata.uid for item in listed.items]
    table = served.request("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json
    assert any(row["object"]["metadata"]["name"] == name for row in table["rows"])

    assert _sees_added(served, kind, f"{path}?watch=1&timeoutSeconds=20&resourceVersion={since}", name)

    changed = _annotated(served, kind, f"{path}/{name}")
    assert changed.metadata.annotations["c"] == "d"
    assert served.request("DELETE", f"{path}/{name}").status in (200, 202)


def _annotated(served: RunningServer, kind: Kind[Any], path: str) -> Any:
    """The object with one more annotation; the server's own controllers may write it at the same time."""
    for _ in range(10):
        obj = _read(kind, served.request("GET", path, headers=_ACCEPT).body)
        obj.metadata.annotations["c"] = "d"
        changed = served.request("PUT", path, protobuf.wrap(obj), content_type=PROTOBUF, headers=_ACCEPT)
        if changed.status != 409:
            break
    assert changed.status == 200, changed.body
    return _read(kind, changed.body)


def _sees_added(served: RunningServer, kind: Kind[Any], path: str, name: str) -> bool:
    """Whether a watch tells of the object's beginning; it is left as soon as it does."""
    asked = urllib.request.Request(served.url + path)
    asked.add_header("Authorization", f"Bearer {ADMIN_TOKEN}")
    asked.add_header("Accept", f"{PROTOBUF};stream=watch")
    with urllib.request.urlopen(asked, context=served.tls(), timeout=30) as answer:
        while size := int.from_bytes(answer.read(4), "big"):
            event = protobuf.decode(_Event, answer.read(size))
            if event.type == "ADDED" and _read(kind, event.object.raw).metadata.name == name:
                return True
    return False
