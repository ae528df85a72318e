"""Approves two certificates that a node asks for itself, beside the client certificate that upstream's approver knows.

To serve with (kubernetes.io/kubelet-serving): DNS names must be the node's own name, addresses those that its Node
states. The API server checks that name whenever it connects to a kubelet, so that a node can pass for no other.
For its network agent (kubernetes.io/kube-apiserver-client): the user `tiphys:network:NODE` in the agents' group only.
Woken by: certificate signing requests; Nodes, for a node asks before it is registered. Writes: the approval.
Off unless chosen: upstream leaves this to an administrator or an approver from elsewhere.
Source: pkg/apis/certificates/v1/helpers.go (what a serving request looks like).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST, NODE
from tiphys.api.kinds.certificates.certificatesigningrequest import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
)
from tiphys.api.kinds.certificates.validation import parsed
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Update
from tiphys.controllers._certificates import CLIENT, SERVING, alternatives, complaint, conditions, subject
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

_USER = "system:node:"
AGENT = "tiphys:network:"
AGENTS_GROUP = "tiphys:network-agents"
_AGENT_USAGES = {"digital signature", "client auth"}


@dataclass(frozen=True)
class World:
    request: CertificateSigningRequest
    its_own: bool
    """It names nothing but the node that asks."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    request = listers.get(CERTIFICATESIGNINGREQUEST, key.name)
    if request is None or request.status.certificate or not request.spec.username.startswith(_USER):
        return None
    if {"Approved", "Denied", "Failed"} & set(conditions(request)):
        return None
    node = request.spec.username.removeprefix(_USER)
    try:
        csr = parsed(request.spec.request)
    except ValueError:
        return None
    if request.spec.signer_name == CLIENT:
        return World(request, _is_agent(csr, node) and set(request.spec.usages) == _AGENT_USAGES)
    registered = listers.get(NODE, node)
    if request.spec.signer_name != SERVING or registered is None:
        return None
    addresses = {address.address for address in registered.status.addresses}
    return World(request, _serves_only(csr, request, node, addresses))


def _serves_only(csr: Any, request: CertificateSigningRequest, node: str, addresses: set[str]) -> bool:
    if complaint(SERVING, csr, request.spec.usages) or subject(csr)[0] != _USER + node:
        return False
    asked = alternatives(csr)
    return set(asked["dns"]) <= {node} and {str(ip) for ip in asked["ip"]} <= addresses


def _is_agent(csr: Any, node: str) -> bool:
    return subject(csr) == (AGENT + node, [AGENTS_GROUP]) and not any(alternatives(csr).values())


def plan(_key: Key, world: World) -> Sequence[Action]:
    if not world.its_own:
        return ()
    changed = copy_of(world.request)
    changed.status.conditions.append(
        CertificateSigningRequestCondition(
            type="Approved", status="True", reason="AutoApproved", message="The request names the node that asks."
        )
    )
    return [Update(CERTIFICATESIGNINGREQUEST, changed, subresource="approval")]


def _of_node(listers: Listers, node: Resource) -> Iterable[Key]:
    for request in listers.list(CERTIFICATESIGNINGREQUEST):
        if request.spec.username == _USER + node.metadata.name and not request.status.conditions:
            yield Key("", request.metadata.name)


SPEC = ControllerSpec(
    name="node-certificates-approving-controller",
    alias="nodecertificatesapproving",
    primary=CERTIFICATESIGNINGREQUEST,
    read=read,
    plan=plan,
    watches=(Watch(NODE, _of_node),),
    workers=1,
    on_by_default=False,
)
