"""A valid object of every kind, as small as it gets."""

from __future__ import annotations

import base64
import json
from typing import Any

from tiphys.api.kind import Kind

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


def body_of(kind: Kind[Any]) -> dict[str, Any]:
    """To be created in a namespace `default`."""
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
