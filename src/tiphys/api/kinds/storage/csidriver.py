"""CSIDriver. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME, NONE, UNSET
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.validation import immutable


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
    prevent_pod_scheduling_if_missing: Annotated[bool | None, proto(11, gate="VolumeLimitScaling")] = None


class CSIDriver(Resource):
    """A storage driver, and what the cluster must do for it."""

    spec: Annotated[CSIDriverSpec, proto(2, required=True)] = field(default_factory=CSIDriverSpec)


GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLES = ("Persistent", "Ephemeral")
_MIN_TOKEN_S, _MAX_TOKEN_S, _MIN_PERIOD_S = 600, 2**32, 10


def _default(obj: CSIDriver) -> None:
    spec = obj.spec
    spec.attach_required = spec.attach_required is None or spec.attach_required
    spec.pod_info_on_mount = bool(spec.pod_info_on_mount)
    spec.storage_capacity = bool(spec.storage_capacity)
    spec.requires_republish = bool(spec.requires_republish)
    spec.se_linux_mount = bool(spec.se_linux_mount)
    if spec.fs_group_policy is None:
        spec.fs_group_policy = "ReadWriteOnceWithFSType"
    spec.volume_lifecycle_modes = spec.volume_lifecycle_modes or ["Persistent"]


def _validate(obj: CSIDriver, old: CSIDriver | None) -> Iterator[FieldError]:
    spec = obj.spec
    needed = {
        "attachedRequired": spec.attach_required,
        "podInfoOnMount": spec.pod_info_on_mount,
        "storageCapacity": spec.storage_capacity,
    }
    for name, value in needed.items():
        if value is None:
            yield required(f"spec.{name}")
    if spec.fs_group_policy is not None and spec.fs_group_policy not in GROUP_POLICIES:
        yield not_supported("spec.fsGroupPolicy", spec.fs_group_policy, GROUP_POLICIES)
    yield from _validate_tokens(spec.token_requests, "spec.tokenRequests")
    for mode in spec.volume_lifecycle_modes:
        if mode not in LIFECYCLES:
            yield not_supported("spec.volumeLifecycleModes", mode, LIFECYCLES)
    if spec.se_linux_mount is None:
        yield required("spec.seLinuxMount")
    period = spec.node_allocatable_update_period_seconds
    if period is not None and period < _MIN_PERIOD_S:
        why = f"must be greater than or equal to {_MIN_PERIOD_S} seconds"
        yield invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, why)
    if spec.service_account_token_in_secrets is not None and not spec.token_requests:
        why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        yield invalid("spec.serviceAccountTokenInSecrets", spec.service_account_token_in_secrets, why)
    if old is not None:
        yield from immutable("spec.attachedRequired", spec.attach_required, old.spec.attach_required)
        modes, before = spec.volume_lifecycle_modes, old.spec.volume_lifecycle_modes
        yield from immutable("spec.volumeLifecycleModes", modes, before)


def _validate_tokens(requests: list[TokenRequest], path: str) -> Iterator[FieldError]:
    audiences: set[str] = set()
    for index, request in enumerate(requests):
        at, seconds = f"{path}[{index}]", request.expiration_seconds
        if request.audience in audiences:
            yield duplicate(f"{at}.audience", request.audience)
            continue
        audiences.add(request.audience)
        if seconds is not None and seconds < _MIN_TOKEN_S:
            yield invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > _MAX_TOKEN_S:
            yield invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")


def _audiences(obj: CSIDriver) -> str:
    return ",".join(request.audience for request in obj.spec.token_requests) or UNSET


COLUMNS: tuple[Column[CSIDriver], ...] = (
    NAME,
    Column("AttachRequired", "boolean", lambda obj: obj.spec.attach_required is not False, "Whether volumes attach."),
    Column("PodInfoOnMount", "boolean", lambda obj: bool(obj.spec.pod_info_on_mount), "Whether it learns of pods."),
    Column("StorageCapacity", "boolean", lambda obj: bool(obj.spec.storage_capacity), "Whether it tells what is left."),
    Column("TokenRequests", "string", _audiences, "For whom it wants tokens."),
    Column("RequiresRepublish", "boolean", lambda obj: bool(obj.spec.requires_republish), "Whether it mounts anew."),
    Column("Modes", "string", lambda obj: ",".join(obj.spec.volume_lifecycle_modes) or NONE, "The volumes it makes."),
    AGE,
)


CSIDRIVER = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    schema=CSIDriver,
    default=_default,
    validate=_validate,
    columns=COLUMNS,
    namespaced=False,
    allow_unconditional_update=False,
)
