"""PriorityClass. Source: staging/src/k8s.io/api/scheduling/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, forbidden, not_supported
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, field, proto
from tiphys.api.meta.validation import immutable


class PriorityClass(Resource):
    """A named priority of pods."""

    value: Annotated[Int32, proto(2)] = field(default_factory=int)
    global_default: Annotated[bool, proto(3)] = False
    description: Annotated[str, proto(4)] = ""
    preemption_policy: Annotated[str | None, proto(5)] = None


SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
"""The classes that no one else may make."""
_HIGHEST = 1_000_000_000
_POLICIES = ("Never", "PreemptLowerPriority")


def _default(obj: PriorityClass) -> None:
    if obj.preemption_policy is None:
        obj.preemption_policy = "PreemptLowerPriority"


def _validate(obj: PriorityClass, old: PriorityClass | None) -> Iterator[FieldError]:
    if old is not None:
        if obj.value != old.value:
            yield forbidden("value", "may not be changed in an update.")
        yield from immutable("preemptionPolicy", obj.preemption_policy, old.preemption_policy)
        return
    name = obj.metadata.name
    if name.startswith("system-"):
        why = _system_complaint(obj)
        if why:
            lead = "priority class names with 'system-' prefix are reserved for system use only. error: "
            yield forbidden("metadata.name", lead + why)
    elif obj.value > _HIGHEST:
        yield forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST}")
    if obj.preemption_policy is not None and obj.preemption_policy not in _POLICIES:
        yield not_supported("preemptionPolicy", obj.preemption_policy, ("PreemptLowerPriority", "Never"))


def _system_complaint(obj: PriorityClass) -> str:
    name = obj.metadata.name
    known = SYSTEM_CLASSES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if obj.value != known:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false" if obj.global_default else ""


PRIORITYCLASS = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    schema=PriorityClass,
    namespaced=False,
    short_names=("pc",),
    generation=True,
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        Column("Value", "integer", lambda obj: obj.value, "The priority of its pods."),
        Column("Global-Default", "boolean", lambda obj: obj.global_default, "Whether pods without a class have it."),
        AGE,
        Column(
            "PreemptionPolicy",
            "string",
            lambda obj: obj.preemption_policy or "",
            "Whether its pods may displace others.",
        ),
    ),
)
