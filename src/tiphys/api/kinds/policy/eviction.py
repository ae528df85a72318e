"""DOC:kinds/policy/eviction.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import proto
from tiphys.api.meta.types import DeleteOptions


class Eviction(Resource):
    """DOC:policy.Eviction"""

    delete_options: Annotated[DeleteOptions | None, proto(2)] = None


EVICTION = Kind(group="policy", version="v1", kind="Eviction", plural="evictions", schema=Eviction, verbs=())
