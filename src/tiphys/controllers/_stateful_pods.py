"""What a stateful pod is: its name, its ordinal, its claims, and who owns these.

Source: pkg/controller/statefulset/stateful_set_utils.go, stateful_pod_control.go.
"""

from __future__ import annotations

import re
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import PERSISTENTVOLUMECLAIM, POD, STATEFULSET
from tiphys.api.kinds.apps.statefulset import StatefulSet
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.facts import is_ready
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.pod.volumes import PersistentVolumeClaimVolumeSource, Volume
from tiphys.api.meta.owners import owner_reference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import OwnerReference
from tiphys.controllers._history import REVISION_LABEL
from tiphys.controllers._template import pod_from_template

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)", re.ASCII | re.DOTALL)
RETAIN, DELETE = "Retain", "Delete"


# --- names


def parent_and_ordinal(name: str) -> tuple[str, int]:
    """The set's name and the ordinal in a pod's name; ("", -1) where it has none."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[2]) >= 2**31:
        return "", -1
    return match[1], int(match[2])


def ordinal_of(pod: Pod) -> int:
    return parent_and_ordinal(pod.metadata.name)[1]


def is_member(wanted: StatefulSet, pod: Pod) -> bool:
    return parent_and_ordinal(pod.metadata.name)[0] == wanted.metadata.name


def ordinals(wanted: StatefulSet) -> range:
    """The ordinals that should have a pod."""
    start = wanted.spec.ordinals.start if wanted.spec.ordinals is not None else 0
    return range(start, start + replicas_of(wanted))


def replicas_of(wanted: StatefulSet) -> int:
    return 1 if wanted.spec.replicas is None else wanted.spec.replicas


def claim_name(template: PersistentVolumeClaim, wanted: StatefulSet, ordinal: int) -> str:
    return f"{template.metadata.name}-{wanted.metadata.name}-{ordinal}"


def claim_names(wanted: StatefulSet, ordinal: int) -> list[str]:
    return [claim_name(template, wanted, ordinal) for template in wanted.spec.volume_claim_templates]


# --- pods


def new_pod(wanted: StatefulSet, template: PodTemplateSpec, revision: str, ordinal: int) -> Pod:
    pod = pod_from_template(template, STATEFULSET, wanted)
    pod.metadata.generate_name = ""
    pod.metadata.name = f"{wanted.metadata.name}-{ordinal}"
    set_identity(pod)
    pod.metadata.labels[REVISION_LABEL] = revision
    pod.spec.hostname, pod.spec.subdomain = pod.metadata.name, wanted.spec.service_name
    set_storage(wanted, pod)
    return pod


def set_identity(pod: Pod) -> None:
    pod.metadata.labels[NAME_LABEL] = pod.metadata.name
    pod.metadata.labels[INDEX_LABEL] = str(ordinal_of(pod))


def has_identity(pod: Pod) -> bool:
    return pod.metadata.labels.get(NAME_LABEL) == pod.metadata.name


def set_storage(wanted: StatefulSet, pod: Pod) -> None:
    """Volumes for the set's claims, before those of the template; of the same name the claim's wins."""
    claims = {
        template.metadata.name: claim_name(template, wanted, ordinal_of(pod))
        for template in wanted.spec.volume_claim_templates
    }
    volumes = [
        Volume(name=name, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim))
        for name, claim in claims.items()
    ]
    pod.spec.volumes = volumes + [volume for volume in pod.spec.volumes if volume.name not in claims]


def has_storage(wanted: StatefulSet, pod: Pod) -> bool:
    found = {volume.name: volume.persistent_volume_claim for volume in pod.spec.volumes}
    for template in wanted.spec.volume_claim_templates:
        source = found.get(template.metadata.name)
        if source is None or source.claim_name != claim_name(template, wanted, ordinal_of(pod)):
            return False
    return True


def revision_of(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_LABEL, "")


def is_terminating(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None


def is_running_and_ready(pod: Pod) -> bool:
    return pod.status.phase == "Running" and is_ready(pod)


# --- claims


def new_claim(template: PersistentVolumeClaim, wanted: StatefulSet, ordinal: int) -> PersistentVolumeClaim:
    claim = copy_of(template)
    claim.kind, claim.api_version = PERSISTENTVOLUMECLAIM.kind, PERSISTENTVOLUMECLAIM.api_version
    claim.metadata.name = claim_name(template, wanted, ordinal)
    claim.metadata.namespace = wanted.metadata.namespace
    selector = wanted.spec.selector
    claim.metadata.labels = claim.metadata.labels | (selector.match_labels if selector is not None else {})
    _, when_deleted = retention(wanted)
    if when_deleted == DELETE:
        claim.metadata.owner_references.append(owner_reference(STATEFULSET, wanted))
    return claim


def retention(wanted: StatefulSet) -> tuple[str, str]:
    """(whenScaled, whenDeleted)"""
    policy = wanted.spec.persistent_volume_claim_retention_policy
    if policy is None:
        return RETAIN, RETAIN
    return policy.when_scaled or RETAIN, policy.when_deleted or RETAIN


def _is_about(reference: OwnerReference, kind: Kind[Any], obj: Resource) -> bool:
    """Whether it names `obj`, or an earlier object of that name."""
    named = (reference.api_version, reference.kind, reference.name)
    return named == (kind.api_version, kind.kind, obj.metadata.name)


def _stale(claim: PersistentVolumeClaim, kind: Kind[Any], obj: Resource) -> bool:
    """Whether the claim is owned by a predecessor of `obj`: garbage collection will take it."""
    for reference in claim.metadata.owner_references:
        if _is_about(reference, kind, obj):
            return reference.uid != obj.metadata.uid
    return False


def is_left_over(claim: PersistentVolumeClaim, wanted: StatefulSet, pod: Pod) -> bool:
    """Whether the claim still belongs to a former pod of this name, with which it is about to go."""
    return retention(wanted)[0] != RETAIN and _stale(claim, POD, pod)


def has_other_controller(claim: PersistentVolumeClaim, wanted: StatefulSet, pod: Pod) -> bool:
    if retention(wanted) == (RETAIN, RETAIN):
        return False
    for reference in claim.metadata.owner_references:
        ours = False
        for kind, obj in ((STATEFULSET, wanted), (POD, pod)):
            if _is_about(reference, kind, obj):
                if reference.uid != obj.metadata.uid:
                    return True
                ours = True
        if not ours and reference.controller:
            return True
    return False


def _owners_wanted(wanted: StatefulSet, pod: Pod) -> list[OwnerReference]:
    """Who should own the claims of `pod`, as the retention policy says."""
    when_scaled, when_deleted = retention(wanted)
    condemned = ordinal_of(pod) not in ordinals(wanted)
    owners = []
    if when_deleted == DELETE and not (condemned and when_scaled == DELETE):
        owners.append(owner_reference(STATEFULSET, wanted))
    if condemned and when_scaled == DELETE and pod.metadata.uid:
        owners.append(owner_reference(POD, pod))
    return owners


def corrected(claim: PersistentVolumeClaim, wanted: StatefulSet, pod: Pod) -> PersistentVolumeClaim | None:
    """The claim with the owners that it should have; None where it has them, or is not ours to change."""
    if _stale(claim, STATEFULSET, wanted) or _stale(claim, POD, pod):
        return None
    ours = {wanted.metadata.uid, pod.metadata.uid} - {""}
    others = [each for each in claim.metadata.owner_references if each.uid not in ours]
    mine = [each for each in claim.metadata.owner_references if each.uid in ours]
    owners = [] if has_other_controller(claim, wanted, pod) else _owners_wanted(wanted, pod)
    if {each.uid for each in mine} == {each.uid for each in owners} and all(each.controller for each in mine):
        return None
    changed = copy_of(claim)
    changed.metadata.owner_references = [*others, *owners]
    return changed
