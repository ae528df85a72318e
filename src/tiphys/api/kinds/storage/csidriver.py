"""CSIDriver. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class TokenRequest(Struct):
    """A service account token that the driver wants."""

    audience: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    expiration_seconds: Annotated[int | None, proto(2)] = None


class CSIDriverSpec(Struct):
    """What the driver needs and can do."""

    attach_required: Annotated[bool | None, proto(1)] = None
    pod_info_on_mount: Annotated[bool | None, proto(2)] = None
    volume_lifecycle_modes: Annotated[list[str], proto(3, list_type="set")] = []
    storage_capacity: Annotated[bool | None, proto(4)] = None
    fs_group_policy: Annotated[str | None, proto(5)] = None
    token_requests: Annotated[list[TokenRequest], proto(6, list_type="atomic")] = []
    requires_republish: Annotated[bool | None, proto(7)] = None
    se_linux_mount: Annotated[bool | None, proto(8)] = None
    node_allocatable_update_period_seconds: Annotated[int | None, proto(9)] = None
    service_account_token_in_secrets: Annotated[bool | None, proto(10)] = None
    prevent_pod_scheduling_if_missing: Annotated[bool | None, proto(11)] = None


class CSIDriver(Resource):
    """A storage driver, and what the cluster must do for it."""

    spec: Annotated[CSIDriverSpec, proto(2, required=True)] = field(default_factory=CSIDriverSpec)


CSIDRIVER = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    schema=CSIDriver,
    namespaced=False,
    allow_unconditional_update=False,
)
