"""What a list or watch wants: a namespace, labels, fields. Equal selections share their work."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api.errors import BadRequest
from tiphys.api.kind import Kind
from tiphys.apiserver.cache.entry import Entry
from tiphys.base.selectors import FieldSelector, LabelSelector

_EVERYTHING = LabelSelector()


class Selection(msgspec.Struct, frozen=True):
    """Immutable and hashable. Make it with `select`."""

    kind: Kind[Any]
    namespace: str = ""
    labels: LabelSelector = _EVERYTHING
    fields: FieldSelector = msgspec.field(default_factory=FieldSelector)

    @property
    def everything(self) -> bool:
        """No selectors: whatever is in the namespace."""
        return self.labels.empty and self.fields.empty

    @property
    def name(self) -> str:
        """The one object's name, where `metadata.name=` is asked for; empty otherwise."""
        return self.fields.exact("metadata.name") or ""

    def matches(self, entry: Entry) -> bool:
        if self.namespace and entry.namespace != self.namespace:
            return False
        if not self.fields.empty and not self.fields.matches(lambda name: field_of(entry, name)):
            return False
        return self.labels.empty or self.labels.matches(entry.obj.metadata.labels)

    def trigger(self) -> tuple[str, str] | None:
        """A field and the one value it must have: watches are filed under it, so that few are asked per event."""
        for requirement in self.fields.requirements:
            if requirement.equal:
                return requirement.field, requirement.value
        return None


def field_of(entry: Entry, name: str) -> str:
    """A field selector's field; names and namespaces are known without decoding."""
    if name == "metadata.name":
        return entry.name
    if name == "metadata.namespace":
        return entry.namespace
    value: str = entry.kind.fields[name](entry.obj)
    return value


def select(kind: Kind[Any], namespace: str, labels: str, fields: str) -> Selection:
    """Read the query's selectors. Raises BadRequest with upstream's words."""
    if not labels and not fields:
        return Selection(kind, namespace)
    try:
        label_selector = LabelSelector.parse(labels)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    try:
        field_selector = FieldSelector.parse(fields)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    for requirement in field_selector.requirements:
        name = requirement.field
        if (
            name != "metadata.name"
            and name not in kind.fields
            and not (name == "metadata.namespace" and kind.namespaced)
        ):
            raise BadRequest(_unknown_field(kind, name))
    return Selection(kind, namespace, label_selector, field_selector)


def _unknown_field(kind: Kind[Any], name: str) -> str:
    if kind.kind == "Job":
        return f'field label "{name}" not supported for Job'
    if kind.kind == "ResourceSlice":
        return f"field label not supported for {kind.api_version}, Kind={kind.kind}: {name}"
    if not kind.fields or kind.group == "apps":
        return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    return f"field label not supported: {name}"
