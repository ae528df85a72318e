"""StorageClass. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.references import TopologySelectorTerm
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class StorageClass(Resource):
    """A named sort of storage, and who makes volumes of it."""

    provisioner: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    parameters: Annotated[dict[str, str], proto(3)] = {}
    reclaim_policy: Annotated[str | None, proto(4)] = None
    mount_options: Annotated[list[str], proto(5, list_type="atomic")] = []
    allow_volume_expansion: Annotated[bool | None, proto(6)] = None
    volume_binding_mode: Annotated[str | None, proto(7)] = None
    allowed_topologies: Annotated[list[TopologySelectorTerm], proto(8, list_type="atomic")] = []


STORAGECLASS = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    schema=StorageClass,
    namespaced=False,
    short_names=("sc",),
)
