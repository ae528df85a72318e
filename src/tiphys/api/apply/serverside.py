"""Server-side apply: put a configuration over the live object, and know who owns what.

Source: structured-merge-diff/v6/merge/update.go (Apply, prune), managedfields/internal (structuredmerge, conflict,
lastappliedmanager, lastappliedupdater, skipnonapplied).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from tiphys.api.apply import checks
from tiphys.api.apply.fieldset import Fields, difference, intersection, ordered, paths, union
from tiphys.api.apply.form import Form
from tiphys.api.apply.managers import (
    NEVER_OWNED,
    Identity,
    Managed,
    Owner,
    Seen,
    decode,
    encode,
    give_way,
    identity,
)
from tiphys.api.apply.typed import Node, compare, merge, owned, remove, with_named_fields
from tiphys.api.codec import Target
from tiphys.api.codec_json import equal
from tiphys.api.errors import BadRequest, Conflict, Malformed, go_escaped
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.types import ManagedFieldsEntry, StatusCause

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"

R = TypeVar("R", bound=Resource)


class Applied(msgspec.Struct, frozen=True):
    """What an apply makes."""

    value: dict[str, Any]
    """The new object as plain JSON, without managedFields; still to be decoded, defaulted and validated."""
    managed: list[ManagedFieldsEntry]
    changed: bool
    """Whether the object differs from the live one; if not, `managed` may still."""


def apply(
    kind: Target[R],
    live: dict[str, Any] | None,
    entries: list[ManagedFieldsEntry],
    config: Any,
    *,
    manager: str,
    force: bool,
    now_text: str,
    subresource: str = "",
    form: Form | None = None,
) -> Applied:
    """Apply `config` as `manager`. `live` is the stored object as plain JSON (None: it does not exist yet).

    `form` says how such objects are walked, where their type does not. The arguments stay as they are. Raises
    BadRequest (wrong type, managedFields given), Malformed (does not fit the schema) and
    Conflict with a cause per field that another manager owns.
    """
    form = form or Form.of_type(kind.schema, _api_version(kind))
    _check(kind, form.node, config)
    managed = decode(entries) or {}
    request = _Request(form, live, config, identity(manager, "Apply", "", subresource), now_text, subresource)
    if live is not None and not managed:
        request.claim_existing(managed)
    try:
        value, managed, changed = request.run(dict(managed), force=force)
    except _Conflicts as conflicts:
        if manager != "kubectl":
            raise conflicts.error() from None
        rest = conflicts.without(_last_applied(form, live))
        if rest.by_manager:
            raise rest.error() from None
        value, managed, changed = request.run(dict(managed), force=True)
    if manager == "kubectl" and _annotations(value).get(LAST_APPLIED):
        value = _with_last_applied(value, config)
    return Applied(value, encode(managed), changed)


def _api_version(kind: Target[R]) -> str:
    return f"{kind.group}/{kind.version}" if kind.group else kind.version


def _gvk(group_version: str, kind: str) -> str:
    """As Go prints a GroupVersionKind: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`."""
    return f"{group_version if '/' in group_version else '/' + group_version}, Kind={kind}"


def _check(kind: Target[R], node: Node, config: Any) -> None:
    if not isinstance(config, dict):
        raise BadRequest("error decoding YAML: json: cannot unmarshal into Go value of type map[string]interface {}")
    expected = _api_version(kind)
    version, name = config.get("apiVersion", ""), config.get("kind", "")
    if (version, name) != (expected, kind.kind):
        raise BadRequest(f"invalid object type: {_gvk(str(version or ''), str(name or ''))}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    if found := checks.problems(node, config):
        head = metadata if isinstance(metadata, dict) else {}
        where = f"{head.get('namespace') or ''}/{head.get('name') or ''}; {_gvk(expected, kind.kind)}"
        raise Malformed(f"failed to create typed patch object ({where}): {checks.text_of(found)}")


class _Request:
    """One apply; run again with force where kubectl's own earlier configuration allows it."""

    def __init__(
        self,
        form: Form,
        live: dict[str, Any] | None,
        config: dict[str, Any],
        applier: Identity,
        now_text: str,
        subresource: str,
    ) -> None:
        self.form = form
        self.node: Node = form.node
        self.api_version = form.api_version
        self.live = _without_managed(live) if live is not None else form.empty
        self.config = config
        self.applier = applier
        self.now_text = now_text
        self.subresource = subresource

    def claim_existing(self, managed: Managed) -> None:
        """Give what an untracked object holds to a manager of its own, so that the first apply can conflict with it."""
        _, modified, added = self.form.kept(compare(self.node, self.form.empty, self.live), self.subresource)
        fields = difference(union(modified, added), NEVER_OWNED)
        if fields:
            key = identity(BEFORE_FIRST_APPLY, "Update", self.api_version, self.subresource)
            managed[key] = Owner.of(fields, self.api_version, self.now_text)

    def run(self, managed: Managed, *, force: bool) -> tuple[dict[str, Any], Managed, bool]:
        """Raises _Conflicts unless `force`."""
        merged = merge(self.node, self.live, self.config)
        before = managed.get(self.applier)
        claimed = self.form.owned(owned(self.node, self.config), self.subresource)
        managed[self.applier] = Owner.of(claimed or {}, self.api_version, before.time if before else None)
        if before is not None and before.fields:
            merged = self._prune(merged, managed, before)
        self._settle(managed, merged, force=force)
        changed = not equal(self.live, merged)
        mine = difference(claimed, NEVER_OWNED)
        if mine:
            time = self.now_text if changed else managed[self.applier].time
            managed[self.applier] = Owner.of(ordered(mine), self.api_version, time)
        else:
            managed.pop(self.applier, None)
        return merged, managed, changed

    def _settle(self, managed: Managed, merged: dict[str, Any], *, force: bool) -> None:
        """Find conflicts with the other managers, and take from them what changed."""
        removed, modified, added = self.form.kept(compare(self.node, self.live, merged), self.subresource)
        seen: dict[str, Seen] = {self.api_version: (union(modified, added), removed)}
        others = {key: owner for key, owner in managed.items() if key != self.applier}
        for version in {owner.api_version for owner in others.values()} - {self.api_version}:
            found = self.form.compared_in(version, self.live, merged, self.subresource)
            if found is not None:
                seen[version] = (union(found[1], found[2]), found[0])
        if not force:
            conflicts = {
                key: both
                for key, owner in others.items()
                if owner.api_version in seen and (both := intersection(owner.fields, seen[owner.api_version][0]))
            }
            if conflicts:
                raise _Conflicts(conflicts)
        give_way(others, seen)
        mine = managed[self.applier]
        managed.clear()
        managed.update(others)
        managed[self.applier] = mine

    def _prune(self, merged: Any, managed: Managed, before: Owner) -> Any:
        """Drop what this manager applied before and does not any more, unless others own it or it holds their parts."""
        if before.api_version == self.api_version:
            return _pruned(self.node, merged, managed, self.api_version, before.fields)
        view = self.form.view(before.api_version)
        if view is None:
            return merged
        # What was applied in another version is taken away in that version.
        converted = view.convert(merged)
        claims = owned(view.node, view.convert(self.config))
        mine = {**managed, self.applier: Owner.of(claims or {}, before.api_version, None)}
        return view.back(_pruned(view.node, converted, mine, before.api_version, before.fields))


def _pruned(node: Node, merged: Any, managed: Managed, api_version: str, last: Fields) -> Any:
    last_named = with_named_fields(node, last)
    pruned = remove(node, merged, last_named)
    everything = with_named_fields(node, owned(node, merged) or {})
    theirs: Fields | None = None
    for owner in managed.values():
        if owner.api_version == api_version:
            theirs = union(theirs, owner.fields)
    kept = union(with_named_fields(node, owned(node, pruned) or {}), with_named_fields(node, theirs or {}))
    pruned = remove(node, merged, difference(everything, kept) or {})
    left = with_named_fields(node, owned(node, pruned) or {})
    return remove(node, merged, intersection(difference(everything, left), last_named) or {})


def _without_managed(live: dict[str, Any]) -> dict[str, Any]:
    metadata = live.get("metadata") or {}
    if "managedFields" not in metadata:
        return live
    return {**live, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


class _Conflicts(Exception):
    """Fields that others own and this apply would change."""

    def __init__(self, by_manager: dict[Identity, Fields]) -> None:
        super().__init__("conflicts")
        self.by_manager = by_manager

    def without(self, allowed: Fields | None) -> _Conflicts:
        rest = {key: difference(fields, allowed) for key, fields in self.by_manager.items()}
        return _Conflicts({key: fields for key, fields in rest.items() if fields})

    def error(self) -> Conflict:
        found = [(_shown(key), path) for key, fields in sorted(self.by_manager.items()) for path in paths(fields)]
        causes = [
            StatusCause(reason="FieldManagerConflict", message=f"conflict with {who}", field=path)
            for who, path in found
        ]
        return Conflict(_message(found), causes=causes)


def _message(found: list[tuple[str, str]]) -> str:
    if len(found) == 1:
        who, path = found[0]
        return f"Apply failed with 1 conflict: conflict with {who}: {path}"
    by_manager: dict[str, list[str]] = defaultdict(list)
    for who, path in found:
        by_manager[who].append(path)
    lines: list[str] = []
    for who, their_paths in by_manager.items():
        lines.append(f"conflicts with {who}:")
        lines += [f"- {path}" for path in their_paths]
    return f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)


def _shown(key: Identity) -> str:
    text = json.dumps(key.manager, ensure_ascii=False)
    if key.subresource:
        text += f" with subresource {json.dumps(key.subresource)}"
    return f"{text} using {key.api_version}" if key.operation == "Update" else text


def _last_applied(form: Form, live: dict[str, Any] | None) -> Fields | None:
    """The fields that `kubectl apply` (client-side) set and nobody changed since: kubectl may take them over."""
    try:
        last = msgspec.json.decode(_annotations(live or {}).get(LAST_APPLIED) or "null")
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(last, dict) or last.get("apiVersion") != form.api_version:
        return None
    if checks.problems(form.node, last):
        return None
    fields = owned(form.node, last)
    return _minus(fields, compare(form.node, last, _without_managed(live or {})))


def _minus(fields: Fields | None, others: Iterable[Fields | None]) -> Fields | None:
    for other in others:
        fields = difference(fields, other)
    return fields


def _annotations(value: dict[str, Any]) -> dict[str, Any]:
    """Of an object as it was sent: null counts as none."""
    found: dict[str, Any] = (value.get("metadata") or {}).get("annotations") or {}
    return found


def _with_last_applied(value: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Keep client-side apply's annotation in step, so that one can go back to it."""
    bare = json.loads(json.dumps(config))
    _annotations(bare).pop(LAST_APPLIED, None)
    text = go_escaped(json.dumps(bare, separators=(",", ":"), sort_keys=True, ensure_ascii=False)) + "\n"
    annotations = {**value["metadata"]["annotations"], LAST_APPLIED: text}
    return {**value, "metadata": {**value["metadata"], "annotations": annotations}}
