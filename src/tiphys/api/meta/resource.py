"""The head that every API object has."""

from typing import Annotated

from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.types import ObjectMeta


class Resource(Struct):
    """An API object: kind and version, metadata, then what the subclass adds."""

    kind: str = ""
    """Empty inside another object only (a StatefulSet's claims)."""
    api_version: str = ""
    metadata: Annotated[ObjectMeta, proto(1)] = field(default_factory=ObjectMeta)


class PartialObject(Resource):
    """Any object, metadata only: what the garbage collector and `as=PartialObjectMetadata` need."""
