"""Eviction, the body of `pods/eviction`. Source: staging/src/k8s.io/api/policy/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import proto
from tiphys.api.meta.types import DeleteOptions


class Eviction(Resource):
    """The wish to delete a pod unless a disruption budget forbids it."""

    delete_options: Annotated[DeleteOptions | None, proto(2)] = None


EVICTION = Kind(group="policy", version="v1", kind="Eviction", plural="evictions", schema=Eviction, verbs=())
