"""Bookkeeping of managedFields on create, update and patch.

Source: staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal (structuredmerge, stripmeta, capmanagers,
managedfieldsupdater, skipnonapplied), structured-merge-diff/v6/merge/update.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from tiphys.api.apply.alike import Answers, Question, outline
from tiphys.api.apply.fieldset import MEMBER, Fields, difference, intersection, is_valid, ordered, union
from tiphys.api.apply.form import Form, empty_json
from tiphys.api.apply.typed import BadItem, Difference, compare, root
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import FieldsV1, encode_hook, json_hook
from tiphys.api.meta.shape import MapOf, Scalar, shape_of
from tiphys.api.meta.types import ManagedFieldsEntry

MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"
"""Holds the oldest entries where there are more than that many."""

NEVER_OWNED: Fields = {
    "f:apiVersion": MEMBER,
    "f:kind": MEMBER,
    "f:metadata": {
        ".": MEMBER,
        **{
            f"f:{name}": MEMBER
            for name in (
                "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
                "managedFields", "resourceVersion",
            )
        },
    },
}  # fmt: skip
_UNCOUNTED: dict[str, Any] = {"managed_fields": [], "resource_version": "", "generation": 0}
"""Metadata that the server moves along with every write."""


class Identity(NamedTuple):
    """What tells managers apart. Of an Apply manager, `api_version` is left empty."""

    manager: str
    operation: str
    api_version: str
    subresource: str


class Owner(NamedTuple):
    """A manager's fields, the version they are written in, and when they changed last (RFC 3339)."""

    text: FieldsV1
    """The fields, as they are kept: most are passed on without a look."""
    api_version: str
    time: str | None

    @classmethod
    def of(cls, fields: Fields, api_version: str, time: str | None) -> Owner:
        return cls(FieldsV1.of(fields), api_version, time)

    @property
    def fields(self) -> Fields:
        return self.text.fields


Managed = dict[Identity, Owner]
Seen = tuple[Fields | None, Fields | None]
"""What a write set, and what it removed."""

_NOBODYS: dict[str, Any] = {
    "name": "", "namespace": "", "uid": "", "self_link": "", "creation_timestamp": None, "generation": 0,
    "managed_fields": [], "resource_version": "",
}  # fmt: skip
"""The same in attributes: what objects of one template differ in."""
_LABELS_AND_ANNOTATIONS = {"labels": "", "annotations": ""}

_answers = Answers()
"""What becomes of managers: each with its set, and whether that was set now."""
_NOW = "now"
_NO_FIELDS = FieldsV1("{}")
_encode = msgspec.json.Encoder(enc_hook=json_hook).encode


def identity(manager: str, operation: str, api_version: str, subresource: str) -> Identity:
    return Identity(manager or "unknown", operation, "" if operation == "Apply" else api_version, subresource)


def decode(entries: list[ManagedFieldsEntry]) -> Managed | None:
    """The managers by identity; None when the entries are malformed."""
    managed: Managed = {}
    for entry in entries:
        if entry.operation not in ("Apply", "Update") or not entry.api_version or entry.fields_type != "FieldsV1":
            return None
        key = Identity(
            entry.manager,
            entry.operation,
            "" if entry.operation == "Apply" else entry.api_version,
            entry.subresource,
        )
        managed[key] = Owner(entry.fields_v1 or _NO_FIELDS, entry.api_version, entry.time)
    return managed


def encode(managed: Managed) -> list[ManagedFieldsEntry]:
    """Entries in upstream's order: operation, time, name, version, subresource."""
    ordered = sorted(managed.items(), key=_rank)
    return [
        ManagedFieldsEntry(
            manager=key.manager,
            operation=key.operation,
            api_version=owner.api_version,
            time=owner.time,
            fields_type="FieldsV1",
            fields_v1=owner.text,
            subresource=key.subresource,
        )
        for key, owner in ordered
    ]


def _rank(pair: tuple[Identity, Owner]) -> tuple[str, str, str, str, str]:
    key, owner = pair
    return key.operation, owner.time or "", key.manager, owner.api_version, key.subresource


def update_managed(
    old: Resource | None,
    new: Resource,
    manager: str,
    operation: str,
    api_version: str,
    now_text: str,
    subresource: str = "",
    form: Form | None = None,
) -> list[ManagedFieldsEntry]:
    """The managedFields of `new`, written by `manager` over `old` (None: created).

    Both objects stay as they are. `operation` is `Update` (create, update and the three plain patches). The entries
    that `new` carries are taken as the client's wish where they are well formed, those of `old` otherwise; one empty
    entry forgets all managers. `now_text` is RFC 3339 in seconds; an entry's time moves only when its fields were set.
    `form` says how such objects are walked, where their type does not.
    """
    form = form or Form.of_type(type(new), api_version)
    managed = _current(old, new, subresource)
    if old is not None and not managed:
        return []  # never tracked, or forgotten: it starts again with the next apply
    key = identity(manager, operation, api_version, subresource)
    try:
        if isinstance(new, msgspec.Struct) and _is_plain(managed, api_version):
            return encode(_moved_on(form, old, new, managed, key, now_text))
        found = form.kept(changes(form, old, new), subresource)
        if not any(found):
            return encode(managed)
        removed, modified, added = found
        written = union(modified, added)
        seen = {api_version: (written, removed)}
        if any(owner.api_version != api_version for owner in managed.values()):
            seen |= _in_other_versions(form, managed, old, new, subresource)
    except BadItem:
        return []
    give_way(managed, seen)
    _take(managed, key, written, api_version, now_text)
    return encode(managed)


def _take(managed: Managed, key: Identity, written: Fields | None, api_version: str, now_text: str) -> None:
    """Note what was written as the writer's."""
    mine = difference(written, NEVER_OWNED)
    if mine:
        before = managed.get(key)
        new_fields = ordered(mine)
        managed[key] = Owner.of(union(before.fields, new_fields) or {} if before else new_fields, api_version, now_text)
    _cap(managed)


def _is_plain(managed: Managed, api_version: str) -> bool:
    """Whether what becomes of these managers follows from their fields alone: one version, and room for one more."""
    return len(managed) < MAX_UPDATE_MANAGERS and all(owner.api_version == api_version for owner in managed.values())


def _moved_on(
    form: Form, old: Resource | None, new: Resource, managed: Managed, key: Identity, now_text: str
) -> Managed:
    """The managers after a write; those of objects that are alike go the same way. Raises BadItem."""
    change = outline(_bare(new)) if old is None else _encode(_differing(old, new))
    # Of an Apply manager the identity has no version; the form's is everybody's here.
    texts = [(known, owner.text) for known, owner in managed.items()]
    question = Question(_encode((key, texts)) + change, new.metadata)
    answer = _answers.get(form, question)
    if answer is None:
        moved = _moved(form, old, new, managed, key)
        general = [question.general(owner.text) for owner in moved.values()]
        if None in general:
            return {known: owner._replace(time=_time(owner, now_text)) for known, owner in moved.items()}
        answer = [
            (known, text, owner.time is _NOW) for (known, owner), text in zip(moved.items(), general, strict=True)
        ]
        _answers.keep(form, question, answer)
    return {
        known: Owner(question.own(text), form.api_version, now_text if set_now else managed[known].time)
        for known, text, set_now in answer
    }


def _moved(form: Form, old: Resource | None, new: Resource, managed: Managed, key: Identity) -> Managed:
    """The same, worked out: `_NOW` stands for the time."""
    found = form.kept(changes(form, old, new), key.subresource)
    after = dict(managed)
    if any(found):
        removed, modified, added = found
        written = union(modified, added)
        give_way(after, {form.api_version: (written, removed)})
        _take(after, key, written, form.api_version, _NOW)
    return after


def _time(owner: Owner, now_text: str) -> str | None:
    return now_text if owner.time is _NOW else owner.time


def _current(old: Resource | None, new: Resource, subresource: str) -> Managed:
    stated = new.metadata.managed_fields
    if not subresource and stated:
        if len(stated) == 1 and stated[0] == ManagedFieldsEntry():
            return {}
        if old is None or stated != old.metadata.managed_fields:
            wished = decode(stated)
            if wished and all(is_valid(owner.fields) for owner in wished.values()):
                return wished
    return (decode(old.metadata.managed_fields) if old is not None else None) or {}


def changes(form: Form, old: Resource | None, new: Resource) -> Difference:
    """What differs between two objects, or what a new one sets. Raises BadItem."""
    if not isinstance(new, msgspec.Struct):
        before = form.empty if old is None else uncounted(_plain(old))
        removed, modified, more = compare(form.node, before, uncounted(_plain(new)))
        return removed, modified, ordered(more) if more else more
    schema = type(new)
    if old is None:
        removed, modified, more = compare(root(schema), empty_json(schema), _plain(_bare(new)))
        return removed, modified, ordered(more) if more else more
    differing = _differing(old, new)
    before, after = _partial(schema, differing[0]), _partial(schema, differing[1])
    return compare(root(schema), before, after)


def _differing(old: Resource, new: Resource) -> tuple[dict[str, Any], dict[str, Any]]:
    """The top-level attributes that differ, as they were and as they are, without what the server moves along."""
    before, after = {}, {}
    for name in type(new).__struct_fields__:
        left, right = getattr(old, name), getattr(new, name)
        if name == "metadata":
            left, right = replace(left, **_UNCOUNTED), replace(right, **_UNCOUNTED)
        if left is not right and left != right:
            before[name], after[name] = left, right
    return before, after


def _in_other_versions(
    form: Form, managed: Managed, old: Resource | None, new: Resource, subresource: str
) -> dict[str, Seen]:
    """What changed, as managers of other versions of the kind see it."""
    after, before = uncounted(_plain(new)), None if old is None else uncounted(_plain(old))
    seen: dict[str, Seen] = {}
    for version in {owner.api_version for owner in managed.values()} - {form.api_version}:
        found = form.compared_in(version, before, after, subresource)
        if found is not None:
            removed, modified, added = found
            seen[version] = (union(modified, added), removed)
    return seen


def _bare(new: Resource) -> Resource:
    """A new object without what is nobody's."""
    meta = new.metadata
    return replace(
        new, **_without_values(new, _maps_of(type(new))),
        metadata=replace(meta, **_NOBODYS, **_without_values(meta, _LABELS_AND_ANNOTATIONS)),
    )  # fmt: skip


def _without_values(obj: Any, maps: Mapping[str, Any]) -> dict[str, Any]:
    """Maps with their keys alone: which values stand there makes no difference to who owns them."""
    return {name: dict.fromkeys(held, empty) for name, empty in maps.items() if (held := getattr(obj, name))}


@cache
def _maps_of(schema: type[Resource]) -> Mapping[str, Any]:
    """The top-level maps of texts or bytes, and what is empty there."""
    empty: dict[Any, Any] = {Scalar.STRING: "", Scalar.BYTES: b""}
    fields = shape_of(schema).fields
    return {
        attribute: empty[shape.value]
        for attribute, name in zip(schema.__struct_fields__, schema.__struct_encode_fields__, strict=True)
        if name in fields and isinstance(shape := fields[name].shape, MapOf) and shape.value in empty
    }


def _plain(obj: Resource) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(obj, enc_hook=encode_hook)
    value["metadata"].pop("managedFields", None)
    return value


def uncounted(value: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON without the metadata that the server moves along; the argument stays."""
    metadata = value.get("metadata") or {}
    return {
        **value,
        "metadata": {k: item for k, item in metadata.items() if k not in ("resourceVersion", "generation")},
    }


def _partial(schema: type[Resource], attributes: dict[str, Any]) -> dict[str, Any]:
    """The plain JSON of some top-level fields; empty ones are left out, except structs."""
    names = dict(zip(schema.__struct_fields__, schema.__struct_encode_fields__, strict=True))
    value: dict[str, Any] = {}
    for attribute, item in attributes.items():
        if item or isinstance(item, msgspec.Struct):
            value[names[attribute]] = msgspec.to_builtins(item, enc_hook=encode_hook)
    return value


def give_way(managed: Managed, seen: Mapping[str, Seen]) -> None:
    """Take from every manager what was written or removed just now, as seen in the manager's version.

    Managers of versions that are not seen are forgotten.
    """
    for key, owner in list(managed.items()):
        change = seen.get(owner.api_version)
        if change is None:
            del managed[key]
            continue
        written, removed = change
        known = owner.fields
        fields: Fields | None = known
        if written and intersection(fields, written):
            fields = difference(fields, intersection(fields, written))
        fields = difference(fields, removed)
        if not fields:
            del managed[key]
        elif fields is not known:
            managed[key] = Owner.of(fields, owner.api_version, owner.time)


def _cap(managed: Managed) -> None:
    """Melt the oldest Update managers of a version into one where there are too many."""
    updaters = [key for key in managed if key.operation == "Update"]
    count = len(updaters)
    if count <= MAX_UPDATE_MANAGERS:
        return
    updaters.sort(key=lambda key: (managed[key].time or "", key))
    first: dict[str, Identity] = {}
    for key in updaters:
        if count <= MAX_UPDATE_MANAGERS:
            break
        owner = managed[key]
        bucket = Identity(ANCIENT, "Update", owner.api_version, "")
        oldest = first.setdefault(owner.api_version, key)
        if oldest == key:
            continue
        if bucket not in managed:
            managed[bucket] = managed.pop(oldest)
        together = union(owner.fields, managed[bucket].fields) or {}
        managed[bucket] = Owner.of(together, owner.api_version, owner.time)
        del managed[key]
        count -= 1
