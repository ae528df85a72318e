"""Revisions of a pod template, kept as ControllerRevisions: what StatefulSet and DaemonSet share.

A revision's data is the patch that brings a set to that template: `{"spec": {"template": {..., "$patch": "replace"}}}`.
Its name is made from the data, so a second creation of the same one is refused; a name that other data has is a
collision, and the next hash is taken.
Source: pkg/controller/history/controller_history.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Protocol

from tiphys.api import codec
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import CONTROLLERREVISION
from tiphys.api.kinds.apps.controllerrevision import ControllerRevision
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.labels import selector_of
from tiphys.api.meta.owners import controller_of, owner_reference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.controllers._actions import Action, Create, Delete, Update
from tiphys.controllers._claims import adoption
from tiphys.controllers._spec import Index, Key, Listers
from tiphys.controllers._template import digest

HASH_LABEL = "controller.kubernetes.io/hash"
REVISION_LABEL = "controller-revision-hash"
"""On pods: the name (StatefulSet) or hash (DaemonSet) of the revision that they are of."""
PREFIX_MAX = 223


class Templated(Protocol):
    """The part of a set's spec that revisions are about."""

    selector: LabelSelector | None
    template: PodTemplateSpec
    revision_history_limit: int | None


def _family(revision: ControllerRevision) -> Iterable[str]:
    """Namespace and name without the hash: revisions whose names may collide."""
    yield f"{revision.metadata.namespace}/{revision.metadata.name.rpartition('-')[0]}"


FAMILY = Index(CONTROLLERREVISION, "family", _family)
ORPHAN_REVISIONS = Index(
    CONTROLLERREVISION, "orphans", lambda each: () if controller_of(each) else (each.metadata.namespace,)
)


@dataclass(frozen=True)
class Revisions:
    """All that is known of a set's revisions."""

    own: tuple[ControllerRevision, ...]
    """Those it controls and that match its selector, oldest revision first."""
    orphans: tuple[ControllerRevision, ...]
    """Matching ones that nobody controls."""
    taken: Mapping[str, Any]
    """Data by name of all revisions that are named as this set's are, whoever controls them."""


def revisions_of(listers: Listers, owner: Resource, spec: Templated) -> Revisions:
    metadata = owner.metadata
    selector = selector_of(spec.selector)
    own = [each for each in listers.owned(CONTROLLERREVISION, owner) if selector.matches(each.metadata.labels)]
    orphans = listers.indexed(CONTROLLERREVISION, ORPHAN_REVISIONS.name, metadata.namespace)
    family = listers.indexed(CONTROLLERREVISION, FAMILY.name, f"{metadata.namespace}/{metadata.name[:PREFIX_MAX]}")
    return Revisions(
        tuple(sorted(own, key=_order)),
        tuple(each for each in orphans if selector.matches(each.metadata.labels)),
        {each.metadata.name: each.data for each in family},
    )


def _order(revision: ControllerRevision) -> tuple[int, str, str]:
    return revision.revision, revision.metadata.creation_timestamp or "", revision.metadata.name


def patch_of(template: PodTemplateSpec) -> dict[str, Any]:
    """The data of a revision of this template. Sorted, as Go writes maps: clients compare it byte by byte."""
    return {"spec": {"template": _sorted({**codec.to_json(template), "$patch": "replace"})}}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def template_of(revision: ControllerRevision) -> PodTemplateSpec | None:
    """The template that a revision keeps, defaults filled in; None where its data makes no sense."""
    data = revision.data
    spec = data.get("spec") if isinstance(data, dict) else None
    template = spec.get("template") if isinstance(spec, dict) else None
    if not isinstance(template, dict):
        return None
    try:
        found = codec.from_json(PodTemplateSpec, {name: value for name, value in template.items() if name != "$patch"})
    except ValueError:
        return None
    default_spec(found.spec)
    return found


def equal_data(a: Any, b: Any) -> bool:
    return bool(a == b)


@dataclass(frozen=True)
class Present:
    """The revision of the template as it is now, and what must be written for it to exist as the newest."""

    revision: ControllerRevision
    collisions: int
    actions: tuple[Action, ...]
    equal: tuple[ControllerRevision, ...] = ()
    """Others with the same data: pods of theirs are up to date, too."""


def digest_of(revision: ControllerRevision) -> str:
    """What pods of this revision bear as their label, where it is a hash."""
    return revision.metadata.labels.get(REVISION_LABEL, revision.metadata.name)


def present(
    kind: Kind[Any], owner: Resource, spec: Templated, known: Revisions, collisions: int, *, label: str = HASH_LABEL
) -> Present:
    """Finds or makes the revision of `spec.template`. A template that comes back gets the highest number again.

    `label` is where a new revision shows its hash.
    """
    data = patch_of(spec.template)
    latest = known.own[-1] if known.own else None
    number = latest.revision + 1 if latest is not None else 1
    equal = [each for each in known.own if equal_data(each.data, data)]
    if equal and latest is not None and equal_data(latest.data, data):
        return Present(latest, collisions, (), tuple(equal[:-1]))
    if equal:
        renumbered = copy_of(equal[-1])
        renumbered.revision = number
        return Present(renumbered, collisions, (Update(CONTROLLERREVISION, renumbered),), tuple(equal[:-1]))
    if latest is not None and template_of(latest) == spec.template:
        return Present(latest, collisions, ())
    prefix = owner.metadata.name[:PREFIX_MAX]
    text = digest(data, collisions)
    while (name := f"{prefix}-{text}") in known.taken and not equal_data(known.taken[name], data):
        collisions += 1
        text = digest(data, collisions)
    made = new(CONTROLLERREVISION, name, owner.metadata.namespace)
    made.metadata.labels = {**spec.template.metadata.labels, label: text}
    made.metadata.annotations = dict(owner.metadata.annotations)
    made.metadata.owner_references = [owner_reference(kind, owner)]
    made.data, made.revision = data, number
    # One of this name and data that somebody else controls serves as well.
    actions = () if name in known.taken else (Create(CONTROLLERREVISION, made, exists_ok=True),)
    return Present(made, collisions, actions)


def adoptions(kind: Kind[Any], owner: Resource, known: Revisions) -> list[Action]:
    if owner.metadata.deletion_timestamp is not None:
        return []
    return [adoption(CONTROLLERREVISION, each, kind, owner) for each in known.orphans]


def truncation(spec: Templated, known: Revisions, current: Set[str], used: Set[str]) -> list[Action]:
    """Deletes the oldest revisions beyond the limit. Those named in `current` do not count, those in `used` stay."""
    limit = spec.revision_history_limit
    if limit is None or limit < 0:
        return []
    old = [each for each in known.own if each.metadata.name not in current]
    idle = [each for each in old if each.metadata.name not in used]
    return [
        Delete(CONTROLLERREVISION, each.metadata.name, each.metadata.namespace, each.metadata.uid)
        for each in idle[: max(0, len(old) - limit)]
    ]


def keys_of_revision(owner_kind: Kind[Any], listers: Listers, revision: ControllerRevision) -> Iterable[Key]:
    """The set that controls a revision, or those that could adopt it."""
    owner = controller_of(revision)
    if owner is not None:
        if owner.kind == owner_kind.kind and owner.api_version == owner_kind.api_version:
            yield Key(revision.metadata.namespace, owner.name)
        return
    for each in listers.list(owner_kind, revision.metadata.namespace):
        if selector_of(each.spec.selector).matches(revision.metadata.labels):
            yield Key(each.metadata.namespace, each.metadata.name)
