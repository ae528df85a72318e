"""The kinds that Tiphys serves, one module per kind under its API group.

`KINDS` is every resource with a path of its own; `BODY_KINDS` are those that only travel as the body of a
subresource (`pods/eviction` takes an Eviction).
"""

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds.apps.deployment import DEPLOYMENT
from tiphys.api.kinds.apps.replicaset import REPLICASET
from tiphys.api.kinds.authentication.selfsubjectreview import SELFSUBJECTREVIEW
from tiphys.api.kinds.authentication.tokenrequest import TOKENREQUEST
from tiphys.api.kinds.authentication.tokenreview import TOKENREVIEW
from tiphys.api.kinds.authorization.accessreviews import (
    LOCALSUBJECTACCESSREVIEW,
    SELFSUBJECTACCESSREVIEW,
    SUBJECTACCESSREVIEW,
)
from tiphys.api.kinds.authorization.selfsubjectrulesreview import SELFSUBJECTRULESREVIEW
from tiphys.api.kinds.autoscaling.scale import SCALE
from tiphys.api.kinds.coordination.lease import LEASE
from tiphys.api.kinds.core.configmap import CONFIGMAP
from tiphys.api.kinds.core.endpoints import ENDPOINTS
from tiphys.api.kinds.core.event import EVENT
from tiphys.api.kinds.core.namespace import NAMESPACE
from tiphys.api.kinds.core.node import NODE
from tiphys.api.kinds.core.pod.kind import BINDING, POD
from tiphys.api.kinds.core.secret import SECRET
from tiphys.api.kinds.core.service import SERVICE
from tiphys.api.kinds.core.serviceaccount import SERVICEACCOUNT
from tiphys.api.kinds.discovery.endpointslice import ENDPOINTSLICE
from tiphys.api.kinds.events.event import EVENTS_EVENT
from tiphys.api.kinds.policy.eviction import EVICTION
from tiphys.api.kinds.rbac.clusterrole import CLUSTERROLE
from tiphys.api.kinds.rbac.clusterrolebinding import CLUSTERROLEBINDING
from tiphys.api.kinds.rbac.role import ROLE
from tiphys.api.kinds.rbac.rolebinding import ROLEBINDING

KINDS: tuple[Kind[Any], ...] = (
    CONFIGMAP,
    ENDPOINTS,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    SECRET,
    SERVICEACCOUNT,
    SERVICE,
    DEPLOYMENT,
    REPLICASET,
    SELFSUBJECTREVIEW,
    TOKENREVIEW,
    LOCALSUBJECTACCESSREVIEW,
    SELFSUBJECTACCESSREVIEW,
    SELFSUBJECTRULESREVIEW,
    SUBJECTACCESSREVIEW,
    LEASE,
    ENDPOINTSLICE,
    EVENTS_EVENT,
    CLUSTERROLEBINDING,
    CLUSTERROLE,
    ROLEBINDING,
    ROLE,
)

BODY_KINDS: tuple[Kind[Any], ...] = (BINDING, EVICTION, SCALE, TOKENREQUEST)

__all__ = [
    "BINDING",
    "BODY_KINDS",
    "CLUSTERROLE",
    "CLUSTERROLEBINDING",
    "CONFIGMAP",
    "DEPLOYMENT",
    "ENDPOINTS",
    "ENDPOINTSLICE",
    "EVENT",
    "EVENTS_EVENT",
    "EVICTION",
    "KINDS",
    "LEASE",
    "LOCALSUBJECTACCESSREVIEW",
    "NAMESPACE",
    "NODE",
    "POD",
    "REPLICASET",
    "ROLE",
    "ROLEBINDING",
    "SCALE",
    "SECRET",
    "SELFSUBJECTACCESSREVIEW",
    "SELFSUBJECTREVIEW",
    "SELFSUBJECTRULESREVIEW",
    "SERVICE",
    "SERVICEACCOUNT",
    "SUBJECTACCESSREVIEW",
    "TOKENREQUEST",
    "TOKENREVIEW",
]
