"""ComponentStatus. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


class ComponentCondition(Struct):
    """One aspect of a component's health."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    message: Annotated[str, proto(3)] = ""
    error: Annotated[str, proto(4)] = ""


class ComponentStatus(Resource):
    """Whether a part of the control plane answers (deprecated)."""

    conditions: Annotated[
        list[ComponentCondition], proto(2, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


def _healthy(obj: ComponentStatus) -> ComponentCondition | None:
    return next((condition for condition in obj.conditions if condition.type == "Healthy"), None)


def _status(obj: ComponentStatus) -> str:
    condition = _healthy(obj)
    if condition is None:
        return "Unknown"
    return "Healthy" if condition.status == "True" else "Unhealthy"


COLUMNS: tuple[Column[ComponentStatus], ...] = (
    NAME,
    Column("Status", "string", _status, "Whether it answers."),
    Column("Message", "string", lambda obj: condition.message if (condition := _healthy(obj)) else "", "What it says."),
    Column("Error", "string", lambda obj: condition.error if (condition := _healthy(obj)) else "", "What is wrong."),
)


COMPONENTSTATUS = Kind(
    group="",
    version="v1",
    kind="ComponentStatus",
    plural="componentstatuses",
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    schema=ComponentStatus,
    columns=COLUMNS,
    namespaced=False,
    short_names=("cs",),
    verbs=(
        "get",
        "list",
    ),
)
