"""What a pod template is called and what is made from it: its hash, and pods.

Source: pkg/controller/controller_utils.go (ComputeHash, GetPodFromTemplate), apimachinery util/rand (SafeEncodeString).
"""

from __future__ import annotations

import json
from typing import Any

from tiphys.api import codec
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.owners import owner_reference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of

HASH_LABEL = "pod-template-hash"
NAME_MAX = 253
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no 0, 1, 3: no words."""


def digest(value: object, collisions: int) -> str:
    """A short name for a JSON value: FNV-1a over its canonical text and the number of earlier collisions."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    if collisions:
        text += str(collisions)
    total = 2166136261
    for byte in text.encode():
        total = ((total ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(total))


def template_hash(template: PodTemplateSpec, collisions: int) -> str:
    return digest(codec.to_json(template), collisions)


def same_template(a: PodTemplateSpec, b: PodTemplateSpec) -> bool:
    """Equal but for the hash label."""
    if a.spec != b.spec:
        return False
    return _without_hash(a) == _without_hash(b)


def _without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    if HASH_LABEL not in template.metadata.labels:
        return template
    copy = copy_of(template)
    del copy.metadata.labels[HASH_LABEL]
    return copy


def pod_from_template(template: PodTemplateSpec, owner_kind: Kind[Any], owner: Resource) -> Pod:
    """A pod as `template` says, named after and controlled by `owner`."""
    pod = new(POD, "", owner.metadata.namespace)
    prefix = f"{owner.metadata.name}-"
    pod.metadata.generate_name = prefix if len(prefix) <= NAME_MAX else owner.metadata.name
    pod.metadata.labels = dict(template.metadata.labels)
    pod.metadata.annotations = dict(template.metadata.annotations)
    pod.metadata.finalizers = list(template.metadata.finalizers)
    pod.metadata.owner_references = [owner_reference(owner_kind, owner)]
    pod.spec = copy_of(template.spec)
    return pod
