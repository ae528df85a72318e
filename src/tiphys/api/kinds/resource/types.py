"""What the kinds of dynamic resource allocation share. Source: staging/src/k8s.io/api/resource/v1/types.go."""

from typing import Annotated

from tiphys.api.meta.schema import JSONObject, Quantity, Struct, Time, empty_list, field, proto


class OpaqueDeviceConfiguration(Struct):
    """Settings that only the driver understands."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    parameters: Annotated[JSONObject | None, proto(2, required=True)] = None


class CELDeviceSelector(Struct):
    """An expression that a device must satisfy."""

    expression: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class DeviceSelector(Struct):
    """A condition on devices."""

    cel: Annotated[CELDeviceSelector | None, proto(1)] = None


class DeviceClaimConfiguration(Struct):
    """Settings for the devices of some requests."""

    requests: Annotated[list[str], proto(1, list_type="atomic")] = []
    opaque: Annotated[OpaqueDeviceConfiguration | None, proto(2, 1)] = None


class DeviceConstraint(Struct):
    """What must hold between the devices of some requests."""

    requests: Annotated[list[str], proto(1, list_type="atomic")] = []
    match_attribute: Annotated[str | None, proto(2)] = None
    distinct_attribute: Annotated[str | None, proto(3)] = None


class CapacityRequirements(Struct):
    """How much of a shared device is needed."""

    requests: Annotated[dict[str, Quantity], proto(1)] = {}


class DeviceToleration(Struct):
    """A taint that does not matter."""

    key: Annotated[str, proto(1)] = ""
    operator: Annotated[str, proto(2)] = ""
    value: Annotated[str, proto(3)] = ""
    effect: Annotated[str, proto(4)] = ""
    toleration_seconds: Annotated[int | None, proto(5)] = None


class DeviceSubRequest(Struct):
    """One of several alternatives."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    device_class_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    selectors: Annotated[list[DeviceSelector], proto(3, list_type="atomic")] = []
    allocation_mode: Annotated[str, proto(4)] = ""
    count: Annotated[int, proto(5)] = 0
    tolerations: Annotated[list[DeviceToleration], proto(6, list_type="atomic")] = []
    capacity: Annotated[CapacityRequirements | None, proto(7)] = None


class ExactDeviceRequest(Struct):
    """How many devices of which class."""

    device_class_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    selectors: Annotated[list[DeviceSelector], proto(2, list_type="atomic")] = []
    allocation_mode: Annotated[str, proto(3)] = ""
    count: Annotated[int, proto(4)] = 0
    admin_access: Annotated[bool | None, proto(5)] = None
    tolerations: Annotated[list[DeviceToleration], proto(6, list_type="atomic")] = []
    capacity: Annotated[CapacityRequirements | None, proto(7)] = None


class DeviceRequest(Struct):
    """One request: exactly this, or the first of several that can be met."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    exactly: Annotated[ExactDeviceRequest | None, proto(2)] = None
    first_available: Annotated[list[DeviceSubRequest], proto(3, list_type="atomic")] = []


class DeviceClaim(Struct):
    """The requests, what must hold between them, and settings."""

    requests: Annotated[list[DeviceRequest], proto(1, list_type="atomic")] = field(default_factory=empty_list)
    constraints: Annotated[list[DeviceConstraint], proto(2, list_type="atomic")] = []
    config: Annotated[list[DeviceClaimConfiguration], proto(3, list_type="atomic")] = []


class ResourceClaimSpec(Struct):
    """What is wished for."""

    devices: Annotated[DeviceClaim, proto(1)] = field(default_factory=DeviceClaim)


class DeviceTaint(Struct):
    """A reason not to use a device."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[str, proto(2)] = ""
    effect: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    time_added: Annotated[Time | None, proto(4)] = None
