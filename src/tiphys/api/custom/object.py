"""The objects of custom kinds. To the registry they are what a built-in kind's structs are."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api.codec_json import clone, equal
from tiphys.api.meta.schema import copy_of, decode_hook
from tiphys.api.meta.types import ObjectMeta

_HEAD = ("kind", "apiVersion", "metadata")


class CustomObject:
    """One object: its head typed, everything else in `content` as plain JSON by name.

    Encoding writes kind, apiVersion and metadata first, as for every kind. What came out of a cache is shared: never
    mutate it, `copy_of` first.
    """

    __slots__ = ("api_version", "content", "kind", "metadata")
    __struct_fields__ = ("kind", "api_version", "metadata", "content")

    def __init__(
        self,
        kind: str = "",
        api_version: str = "",
        metadata: ObjectMeta | None = None,
        content: dict[str, Any] | None = None,
    ) -> None:
        self.kind, self.api_version = kind, api_version
        self.metadata = ObjectMeta() if metadata is None else metadata
        self.content = {} if content is None else content

    @classmethod
    def from_plain(cls, value: Any) -> CustomObject:
        """The object that plain JSON describes; takes over its parts. Raises ValueError."""
        if type(value) is not dict:
            raise ValueError("an object is expected")
        head = {name: value.get(name) or "" for name in ("kind", "apiVersion")}
        for name, stated in head.items():
            if type(stated) is not str:
                raise ValueError(f"{name} must be a string")
        stated_meta = value.get("metadata")
        meta = ObjectMeta() if stated_meta is None else _metadata(stated_meta)
        content = {name: item for name, item in value.items() if name not in _HEAD}
        return cls(head["kind"], head["apiVersion"], meta, content)

    def to_plain(self) -> dict[str, Any]:
        """What the encoder writes; metadata is still typed."""
        return {"kind": self.kind, "apiVersion": self.api_version, "metadata": self.metadata, **self.content}

    def copied(self) -> CustomObject:
        return CustomObject(self.kind, self.api_version, copy_of(self.metadata), clone(self.content))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CustomObject)
            and (self.kind, self.api_version, self.metadata) == (other.kind, other.api_version, other.metadata)
            and equal(self.content, other.content)
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<{self.api_version} {self.kind} {self.metadata.namespace}/{self.metadata.name}>"


def _metadata(value: Any) -> ObjectMeta:
    try:
        return msgspec.convert(value, ObjectMeta, dec_hook=decode_hook)
    except msgspec.ValidationError:
        from tiphys.api.codec_lenient import convert

        return convert(ObjectMeta, value)
