"""PriorityLevelConfiguration. Source: staging/src/k8s.io/api/flowcontrol/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto


class ExemptPriorityLevelConfiguration(Struct):
    """How much of its share a level without limits lends."""

    nominal_concurrency_shares: Annotated[Int32 | None, proto(1)] = None
    lendable_percent: Annotated[Int32 | None, proto(2)] = None


class QueuingConfiguration(Struct):
    """How many queues there are, how long, and how flows are dealt to them."""

    queues: Annotated[Int32, proto(1)] = field(default_factory=int)
    hand_size: Annotated[Int32, proto(2)] = field(default_factory=int)
    queue_length_limit: Annotated[Int32, proto(3)] = field(default_factory=int)


class LimitResponse(Struct):
    """Whether requests beyond the limit wait or are refused."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    queuing: Annotated[QueuingConfiguration | None, proto(2)] = None


class LimitedPriorityLevelConfiguration(Struct):
    """A level's share, what it lends and borrows, and what happens to requests beyond it."""

    nominal_concurrency_shares: Annotated[Int32 | None, proto(1)] = None
    limit_response: Annotated[LimitResponse, proto(2)] = field(default_factory=LimitResponse)
    lendable_percent: Annotated[Int32 | None, proto(3)] = None
    borrowing_limit_percent: Annotated[Int32 | None, proto(4)] = None


class PriorityLevelConfigurationSpec(Struct):
    """Whether requests are limited, and how."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    limited: Annotated[LimitedPriorityLevelConfiguration | None, proto(2)] = None
    exempt: Annotated[ExemptPriorityLevelConfiguration | None, proto(3)] = None


class PriorityLevelConfigurationCondition(Struct):
    """One aspect of a priority level's state."""

    type: Annotated[str, proto(1)] = ""
    status: Annotated[str, proto(2)] = ""
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class PriorityLevelConfigurationStatus(Struct):
    """What is wrong with a priority level."""

    conditions: Annotated[
        list[PriorityLevelConfigurationCondition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class PriorityLevelConfiguration(Resource):
    """How much of the server's capacity some requests get."""

    spec: Annotated[PriorityLevelConfigurationSpec, proto(2)] = field(default_factory=PriorityLevelConfigurationSpec)
    status: Annotated[PriorityLevelConfigurationStatus, proto(3)] = field(
        default_factory=PriorityLevelConfigurationStatus
    )


def _prepare(obj: PriorityLevelConfiguration, old: PriorityLevelConfiguration | None) -> None:
    obj.status = copy_of(old.status) if old is not None else PriorityLevelConfigurationStatus()


def _prepare_status(obj: PriorityLevelConfiguration, old: PriorityLevelConfiguration) -> None:
    obj.spec = copy_of(old.spec)


PRIORITYLEVELCONFIGURATION = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    schema=PriorityLevelConfiguration,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
