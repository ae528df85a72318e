"""Makes the device claims that pods have templates for, and takes claims back from pods that are done.

Woken by: pods with claims; claims, and through them the pods that they are for; templates. A key says which of the two
it is. Writes: ResourceClaims (made, deleted, their reservations, allocation and finalizer); `resourceClaimStatuses` and
events of pods.
Races: a crash between making a claim and noting its name in the pod leaves a claim that the pod owns; it is found by
its annotation and noted then. A reservation is removed only when the pod is gone or done, by a live look where our
copies do not show it.
Source: pkg/controller/resourceclaim/controller.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from tiphys.api.errors import NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import POD, RESOURCECLAIM, RESOURCECLAIMTEMPLATE
from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodResourceClaim
from tiphys.api.kinds.resource.resourceclaim import ResourceClaim, ResourceClaimConsumerReference
from tiphys.api.kinds.resource.resourceclaimtemplate import ResourceClaimTemplate
from tiphys.api.meta.owners import controller_of, owner_reference
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, Create, Delete, Event, Patch, Report, Update, UpdateStatus
from tiphys.controllers._measures import CounterOf, GaugeOf, Labels, Measured, Turn
from tiphys.controllers._spec import ControllerSpec, Index, Listers, Watch

FINALIZER = "resource.kubernetes.io/delete-protection"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
"""On claims that were made for pods: which of the pod's claims it is."""
_BASE_MAX = 57
_USERS_MAX = 256


class PodKey(NamedTuple):
    namespace: str
    name: str
    what: str = "pod"


class ClaimKey(NamedTuple):
    namespace: str
    name: str
    what: str = "claim"


def _templates(pod: Pod) -> Iterator[str]:
    for each in pod.spec.resource_claims:
        if each.resource_claim_template_name:
            yield f"{pod.metadata.namespace}/{each.resource_claim_template_name}"


def claim_names(pod: Pod) -> Iterator[str]:
    """The claims that the pod uses, as far as they are known."""
    noted = {status.name: status.resource_claim_name or "" for status in pod.status.resource_claim_statuses}
    for each in pod.spec.resource_claims:
        name = each.resource_claim_name or noted.get(each.name, "")
        if name:
            yield f"{pod.metadata.namespace}/{name}"


def _pod_owner(claim: ResourceClaim) -> Iterator[str]:
    owner = controller_of(claim)
    if owner is not None and owner.kind == "Pod":
        yield owner.uid


BY_TEMPLATE = Index(POD, "resource-claim-template", _templates)
BY_USE = Index(POD, "resource-claim", claim_names)
BY_OWNER = Index(RESOURCECLAIM, "pod-owner", _pod_owner)


@dataclass(frozen=True)
class PodWorld:
    pod: Pod
    claims: dict[str, ResourceClaim]
    """Claims that the pod uses or owns, by name."""
    templates: dict[str, ResourceClaimTemplate]


@dataclass(frozen=True)
class ClaimWorld:
    claim: ResourceClaim
    users: dict[str, Pod | None]
    """Pods that the claim is reserved for, by the name that it gives; None: not seen."""
    owner: Pod | None
    """The pod of the name that owns it."""


World = PodWorld | ClaimWorld


def read(listers: Listers, key: PodKey | ClaimKey, _now: datetime) -> World | None:
    if key.what == "pod":
        pod = listers.get(POD, key.name, key.namespace)
        if pod is None or pod.metadata.deletion_timestamp is not None or not pod.spec.resource_claims:
            return None
        named = (listers.get(RESOURCECLAIM, name.partition("/")[2], key.namespace) for name in claim_names(pod))
        owned = listers.indexed(RESOURCECLAIM, BY_OWNER.name, pod.metadata.uid)
        templates = (
            listers.get(RESOURCECLAIMTEMPLATE, each.resource_claim_template_name, key.namespace)
            for each in pod.spec.resource_claims
            if each.resource_claim_template_name
        )
        return PodWorld(
            pod,
            {claim.metadata.name: claim for claim in (*named, *owned) if claim is not None},
            {template.metadata.name: template for template in templates if template is not None},
        )
    claim = listers.get(RESOURCECLAIM, key.name, key.namespace)
    if claim is None:
        return None
    owner = controller_of(claim)
    return ClaimWorld(
        claim,
        {each.name: listers.get(POD, each.name, key.namespace) for each in claim.status.reserved_for if _is_pod(each)},
        listers.get(POD, owner.name, key.namespace) if owner is not None and owner.kind == "Pod" else None,
    )


async def observe(client: Client, key: PodKey | ClaimKey, world: World) -> World:
    """Pods that our copies do not show may be new."""
    if isinstance(world, PodWorld) or None not in world.users.values():
        return world
    users = dict(world.users)
    for name in [name for name, pod in users.items() if pod is None]:
        try:
            users[name] = await client.get(POD, name, key.namespace)
        except NotFound:
            continue
    return replace(world, users=users)


def plan(_key: PodKey | ClaimKey, world: World) -> Sequence[Action]:
    return _plan_pod(world) if isinstance(world, PodWorld) else _plan_claim(world)


# --- pods


def _plan_pod(world: PodWorld) -> Sequence[Action]:
    pod = world.pod
    if is_terminal(pod):
        return ()
    noted = {status.name: status.resource_claim_name or "" for status in pod.status.resource_claim_statuses}
    actions: list[Action] = []
    names: list[dict[str, str]] = []
    for each in pod.spec.resource_claims:
        if not each.resource_claim_template_name:
            continue
        known = world.claims.get(noted.get(each.name, ""))
        if known is not None and _is_for(known, pod):
            continue
        found = _made_before(world, each.name)
        if found is not None:
            names.append({"name": each.name, "resourceClaimName": found.metadata.name})
        else:
            actions.append(_creation(world, each))
    if names:
        patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"resourceClaimStatuses": names}}
        actions.append(Patch(POD, pod.metadata.name, pod.metadata.namespace, patch, subresource="status"))
    return actions or _reservations(world)


def _is_for(claim: ResourceClaim, pod: Pod) -> bool:
    owner = controller_of(claim)
    return owner is not None and owner.uid == pod.metadata.uid


def _made_before(world: PodWorld, name: str) -> ResourceClaim | None:
    for _, claim in sorted(world.claims.items()):
        if _is_for(claim, world.pod) and claim.metadata.annotations.get(POD_CLAIM) == name:
            return claim
    return None


def _creation(world: PodWorld, wanted: PodResourceClaim) -> Action:
    pod, template_name = world.pod, wanted.resource_claim_template_name or ""
    prefix = f"PodResourceClaim {wanted.name}: "
    template = world.templates.get(template_name)
    if template is None:
        why = f'resourceclaimtemplate.resource.k8s.io "{template_name}" not found'
        text = f'{prefix}resource claim template "{template_name}": {why}'
        return Event(pod, "Warning", "FailedResourceClaimCreation", text)
    claim: ResourceClaim = new(RESOURCECLAIM, "", pod.metadata.namespace)
    claim.metadata.generate_name = _base(pod.metadata.name, wanted.name)
    claim.metadata.labels = dict(template.spec.metadata.labels)
    claim.metadata.annotations = {**template.spec.metadata.annotations, POD_CLAIM: wanted.name}
    claim.metadata.owner_references = [owner_reference(POD, pod)]
    claim.spec = copy_of(template.spec.spec)
    failed = f"{prefix}create ResourceClaim : {{error}}"
    return Create(RESOURCECLAIM, claim, Report(pod, failed_reason="FailedResourceClaimCreation", failed=failed))


def _base(pod: str, claim: str) -> str:
    """What the generated name begins with; where it gets too long, both parts give in proportion."""
    base = f"{pod}-{claim}-"
    if len(base) <= _BASE_MAX:
        return base
    return f"{pod[: len(pod) * _BASE_MAX // len(base)]}-{claim[: len(claim) * _BASE_MAX // len(base)]}"


def _reservations(world: PodWorld) -> Sequence[Action]:
    """A pod that was bound past the scheduler still has its claims reserved."""
    pod = world.pod
    if not pod.spec.node_name:
        return ()
    writes: list[Action] = []
    for where in claim_names(pod):
        claim = world.claims.get(where.partition("/")[2])
        if claim is None or claim.status.allocation is None or len(claim.status.reserved_for) >= _USERS_MAX:
            continue
        if any(each.uid == pod.metadata.uid for each in claim.status.reserved_for):
            continue
        changed = copy_of(claim)
        user = ResourceClaimConsumerReference(resource="pods", name=pod.metadata.name, uid=pod.metadata.uid)
        changed.status.reserved_for.append(user)
        writes.append(UpdateStatus(RESOURCECLAIM, changed))
    return writes


# --- claims


def _plan_claim(world: ClaimWorld) -> Sequence[Action]:
    claim = world.claim
    metadata, status = claim.metadata, claim.status
    left = [each for each in status.reserved_for if not _is_pod(each) or _still_uses(world.users.get(each.name), each)]
    held = FINALIZER in metadata.finalizers
    if len(left) < len(status.reserved_for):
        changed = copy_of(claim)
        changed.status.reserved_for = left
        if not left and held:
            changed.status.allocation = None
        return [UpdateStatus(RESOURCECLAIM, changed)]
    if left:
        return ()
    ending = metadata.deletion_timestamp is not None
    if held and ending and status.allocation is not None:
        changed = copy_of(claim)
        changed.status.allocation = None
        return [UpdateStatus(RESOURCECLAIM, changed)]
    if held and ending:
        # On a claim that stays, the scheduler may just have put it there, to allocate next.
        changed = copy_of(claim)
        changed.metadata.finalizers = [each for each in metadata.finalizers if each != FINALIZER]
        return [Update(RESOURCECLAIM, changed)]
    owner = controller_of(claim)
    if ending or owner is None or world.owner is None:
        return ()  # without its pod the garbage collector sees to it
    if owner.kind == "Pod" and (world.owner.metadata.uid != owner.uid or _is_done(world.owner)):
        return [Delete(RESOURCECLAIM, metadata.name, metadata.namespace, metadata.uid)]
    return ()


def _is_pod(user: ResourceClaimConsumerReference) -> bool:
    return (user.api_group, user.resource) == ("", "pods")


def _still_uses(pod: Pod | None, user: ResourceClaimConsumerReference) -> bool:
    return pod is not None and pod.metadata.uid == user.uid and not _is_done(pod)


def _is_done(pod: Pod) -> bool:
    """It will not run: it has, or it is deleted before it got a node."""
    return is_terminal(pod) or (pod.metadata.deletion_timestamp is not None and not pod.spec.node_name)


# --- what wakes whom


def _of_pod(listers: Listers, pod: Pod) -> Iterable[PodKey | ClaimKey]:
    where = pod.metadata.namespace
    if not pod.spec.resource_claims:
        return
    if listers.get(POD, pod.metadata.name, where) is not None and not _is_done(pod):
        yield PodKey(where, pod.metadata.name)
    else:
        for name in claim_names(pod):
            yield ClaimKey(where, name.partition("/")[2])


def _has_claims(old: Pod | None, new_: Pod | None) -> bool:
    pod = new_ or old
    return pod is not None and bool(pod.spec.resource_claims)


def _of_claim(listers: Listers, claim: ResourceClaim) -> Iterable[PodKey | ClaimKey]:
    where = claim.metadata.namespace
    yield ClaimKey(where, claim.metadata.name)
    for pod in listers.indexed(POD, BY_USE.name, f"{where}/{claim.metadata.name}"):
        yield PodKey(where, pod.metadata.name)
    owner = controller_of(claim)
    if owner is not None and owner.kind == "Pod":
        yield PodKey(where, owner.name)


def _of_template(listers: Listers, template: ResourceClaimTemplate) -> Iterable[PodKey]:
    where = template.metadata.namespace
    for pod in listers.indexed(POD, BY_TEMPLATE.name, f"{where}/{template.metadata.name}"):
        yield PodKey(where, pod.metadata.name)


_PREFIX = "resourceclaim_controller_"
CREATES = CounterOf(
    f"{_PREFIX}creates_total",
    "Number of ResourceClaims creation requests, categorized by creation status and admin access",
    ("status", "admin_access"),
)


def _has_admin_access(claim: ResourceClaim) -> str:
    wanted = (each.exactly for each in claim.spec.devices.requests)
    return "true" if any(each is not None and each.admin_access for each in wanted) else "false"


def _claims(listers: Listers) -> Mapping[Labels, float]:
    counts: Counter[Labels] = Counter()
    for claim in listers.list(RESOURCECLAIM):
        allocated = "true" if claim.status.allocation is not None else "false"
        source = "resource_claim_template" if POD_CLAIM in claim.metadata.annotations else ""
        counts[allocated, _has_admin_access(claim), source] += 1
    return {labels: float(count) for labels, count in counts.items()}


CLAIMS = GaugeOf(
    f"{_PREFIX}resource_claims",
    "Number of ResourceClaims, categorized by allocation status, admin access, and source.",
    ("allocated", "admin_access", "source"),
    _claims,
)


def measure(turn: Turn[World]) -> Iterable[Measured]:
    status = "success" if turn.error is None else "failure"
    return (Measured(CREATES, (status, _has_admin_access(claim))) for claim in turn.created(RESOURCECLAIM))


SPEC: ControllerSpec[World] = ControllerSpec(
    name="resourceclaim-controller",
    component="resource_claim",
    primary=None,
    read=read,
    observe=observe,
    plan=plan,
    watches=(
        Watch(POD, _of_pod, when=_has_claims),
        Watch(RESOURCECLAIM, _of_claim),
        Watch(RESOURCECLAIMTEMPLATE, _of_template),
    ),
    indexes=(BY_TEMPLATE, BY_USE, BY_OWNER),
    metrics=(CREATES, CLAIMS),
    measure=measure,
)
