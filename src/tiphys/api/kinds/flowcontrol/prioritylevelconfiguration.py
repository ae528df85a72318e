"""PriorityLevelConfiguration. Source: staging/src/k8s.io/api/flowcontrol/v1/types.go."""

from collections.abc import Callable
from typing import Annotated

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.flowcontrol import validation
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


def _default(obj: PriorityLevelConfiguration) -> None:
    spec = obj.spec
    if spec.exempt is not None:
        if spec.exempt.nominal_concurrency_shares is None:
            spec.exempt.nominal_concurrency_shares = 0
        if spec.exempt.lendable_percent is None:
            spec.exempt.lendable_percent = 0
    if spec.limited is None:
        return
    if spec.limited.nominal_concurrency_shares is None:
        spec.limited.nominal_concurrency_shares = 30
    if spec.limited.lendable_percent is None:
        spec.limited.lendable_percent = 0
    queuing = spec.limited.limit_response.queuing
    if queuing is not None:
        queuing.queues = queuing.queues or 64
        queuing.hand_size = queuing.hand_size or 8
        queuing.queue_length_limit = queuing.queue_length_limit or 50


def _shares(obj: PriorityLevelConfiguration) -> object:
    limited = obj.spec.limited
    return "<none>" if limited is None else limited.nominal_concurrency_shares


def _queuing(field_name: str) -> Callable[[PriorityLevelConfiguration], object]:
    def cell(obj: PriorityLevelConfiguration) -> object:
        queuing = obj.spec.limited.limit_response.queuing if obj.spec.limited is not None else None
        return "<none>" if queuing is None else getattr(queuing, field_name)

    return cell


PRIORITYLEVELCONFIGURATION = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    schema=PriorityLevelConfiguration,
    namespaced=False,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    default=_default,
    validate=validation.priority_level,
    validate_status=validation.status,
    columns=(
        NAME,
        Column("Type", "string", lambda obj: obj.spec.type, "Whether its requests are limited."),
        Column("NominalConcurrencyShares", "string", _shares, "Its share of the server."),
        Column("Queues", "string", _queuing("queues"), "How many queues it has."),
        Column("HandSize", "string", _queuing("hand_size"), "How many queues a flow may use."),
        Column("QueueLengthLimit", "string", _queuing("queue_length_limit"), "How many requests a queue holds."),
        AGE,
    ),
    prepare=_prepare,
    prepare_status=_prepare_status,
)
