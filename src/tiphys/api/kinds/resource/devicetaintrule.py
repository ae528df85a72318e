"""DeviceTaintRule. Source: staging/src/k8s.io/api/resource/v1alpha3/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.resource.types import DeviceTaint
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition


class DeviceTaintSelector(Struct):
    """Which devices are tainted."""

    driver: Annotated[str | None, proto(2)] = None
    pool: Annotated[str | None, proto(3)] = None
    device: Annotated[str | None, proto(4)] = None


class DeviceTaintRuleSpec(Struct):
    """The devices and the taint."""

    device_selector: Annotated[DeviceTaintSelector | None, proto(1)] = None
    taint: Annotated[DeviceTaint, proto(2, required=True)] = field(default_factory=DeviceTaint)


class DeviceTaintRuleStatus(Struct):
    """How far the rule has been carried out."""

    conditions: Annotated[list[Condition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))] = []


class DeviceTaintRule(Resource):
    """Taints some devices from outside their driver."""

    spec: Annotated[DeviceTaintRuleSpec, proto(2, required=True)] = field(default_factory=DeviceTaintRuleSpec)
    status: Annotated[DeviceTaintRuleStatus, proto(3)] = field(default_factory=DeviceTaintRuleStatus)


def _prepare(obj: DeviceTaintRule, old: DeviceTaintRule | None) -> None:
    obj.status = copy_of(old.status) if old is not None else DeviceTaintRuleStatus()


def _prepare_status(obj: DeviceTaintRule, old: DeviceTaintRule) -> None:
    obj.spec = copy_of(old.spec)


DEVICETAINTRULE = Kind(
    group="resource.k8s.io",
    version="v1alpha3",
    kind="DeviceTaintRule",
    plural="devicetaintrules",
    schema=DeviceTaintRule,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    prepare=_prepare,
    prepare_status=_prepare_status,
)

DEVICETAINTRULE_V1BETA2 = replace(DEVICETAINTRULE, version="v1beta2", stored_as=DEVICETAINTRULE)
