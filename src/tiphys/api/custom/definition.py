"""A CustomResourceDefinition as installing it needs it: read from its bytes, schemas left as they are.

A large schema is a hundred thousand objects once decoded, and is looked at only when its objects are used.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api.kinds.apiextensions.customresourcedefinition import (
    CustomResourceColumnDefinition,
    CustomResourceConversion,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionStatus,
    CustomResourceSubresources,
    SelectableField,
)
from tiphys.api.meta.schema import decode_hook
from tiphys.api.meta.types import ObjectMeta

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class _Schema(msgspec.Struct, gc=False):
    raw: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw, name="openAPIV3Schema")


class Version(msgspec.Struct, rename="camel", gc=False):
    """One version; see CustomResourceDefinitionVersion."""

    name: str = ""
    served: bool = False
    storage: bool = False
    deprecated: bool = False
    deprecation_warning: str | None = None
    schema: _Schema | None = None
    subresources: CustomResourceSubresources | None = None
    additional_printer_columns: list[CustomResourceColumnDefinition] = []
    selectable_fields: list[SelectableField] = []

    @property
    def raw_schema(self) -> bytes:
        """The JSON of the schema; of an object with anything in it, where there is none."""
        raw = bytes(self.schema.raw) if self.schema is not None else b""
        return raw or b'{"type":"object","x-kubernetes-preserve-unknown-fields":true}'


class Spec(msgspec.Struct, rename="camel", gc=False):
    group: str = ""
    names: CustomResourceDefinitionNames = msgspec.field(default_factory=CustomResourceDefinitionNames)
    scope: str = ""
    versions: list[Version] = []
    conversion: CustomResourceConversion | None = None


class Definition(msgspec.Struct, gc=False):
    """The definition. Make it with `read`."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: Spec = msgspec.field(default_factory=Spec)
    status: CustomResourceDefinitionStatus = msgspec.field(default_factory=CustomResourceDefinitionStatus)

    @property
    def storage_version(self) -> Version:
        return next(version for version in self.spec.versions if version.storage)

    def condition(self, name: str) -> str:
        """`True`, `False`, `Unknown`, or nothing."""
        return next((c.status for c in self.status.conditions if c.type == name), "")


_decoder = msgspec.json.Decoder(Definition, dec_hook=decode_hook)


def read(data: bytes) -> Definition:
    """A stored definition's bytes."""
    return _decoder.decode(data)


def raw_schemas(definition: Any) -> list[tuple[str, dict[str, Any]]]:
    """(version, schema as JSON) of a typed CustomResourceDefinition, where there is one."""
    from tiphys.api import codec

    return [
        (version.name, codec.to_json(version.schema.open_api_v3_schema))
        for version in definition.spec.versions
        if version.schema is not None and version.schema.open_api_v3_schema is not None
    ]
