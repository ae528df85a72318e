"""Approves the client certificates that kubelets ask for, where a SubjectAccessReview says that they may.

Woken by: certificate signing requests. Looks live: one review per kind of right. Writes: the approval.
Races: a person may decide first; the update then conflicts and the request is looked at again.
Source: pkg/controller/certificates/approver/sarapprove.go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST, SUBJECTACCESSREVIEW
from tiphys.api.kinds.authorization.accessreviews import ResourceAttributes, SubjectAccessReviewSpec
from tiphys.api.kinds.certificates.certificatesigningrequest import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
)
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Update
from tiphys.controllers._certificates import conditions, node_client
from tiphys.controllers._spec import ControllerSpec, Key, Listers

_MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}


@dataclass(frozen=True)
class World:
    request: CertificateSigningRequest
    rights: tuple[str, ...]
    """The rights, one of which would do, in the order in which they are asked for."""
    granted: str = ""
    """The first of them that the requester has."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    request = listers.get(CERTIFICATESIGNINGREQUEST, key.name)
    if request is None or request.status.certificate or {"Approved", "Denied"} & set(conditions(request)):
        return None
    try:
        recognised, own = node_client(request)
    except ValueError:
        return None
    if not recognised:
        return None
    return World(request, ("selfnodeclient", "nodeclient") if own else ("nodeclient",))


async def observe(client: Client, _key: Key, world: World) -> World:
    spec = world.request.spec
    for right in world.rights:
        review = new(SUBJECTACCESSREVIEW, "", spec=SubjectAccessReviewSpec(
            user=spec.username, uid=spec.uid, groups=list(spec.groups),
            extra={name: list(values) for name, values in spec.extra.items()},
            resource_attributes=ResourceAttributes(
                group="certificates.k8s.io", resource="certificatesigningrequests", verb="create", subresource=right,
                version="*",
            ),
        ))  # fmt: skip
        answer = await client.create(SUBJECTACCESSREVIEW, review)
        if answer.status.allowed:
            return dataclasses.replace(world, granted=right)
    return world


def plan(_key: Key, world: World) -> Sequence[Action]:
    if not world.granted:
        return ()
    changed = copy_of(world.request)
    changed.status.conditions.append(
        CertificateSigningRequestCondition(
            type="Approved", status="True", reason="AutoApproved", message=_MESSAGES[world.granted]
        )
    )
    return [Update(CERTIFICATESIGNINGREQUEST, changed, subresource="approval")]


SPEC = ControllerSpec(
    name="certificatesigningrequest-approving-controller",
    alias="csrapproving",
    primary=CERTIFICATESIGNINGREQUEST,
    read=read,
    observe=observe,
    plan=plan,
    workers=1,
)
