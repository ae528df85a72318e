"""Namespace. Source: staging/src/k8s.io/api/core/v1/types.go, pkg/registry/core/namespace."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.checks import finalizer_name
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, Time, copy_of, field, proto


class NamespaceSpec(Struct):
    """Who must be done before the namespace goes."""

    finalizers: Annotated[list[str], proto(1, list_type="atomic")] = []


class NamespaceCondition(Struct):
    """One aspect of a namespace's removal."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5)] = ""
    message: Annotated[str, proto(6)] = ""


class NamespaceStatus(Struct):
    """Whether the namespace is in use or being removed."""

    phase: Annotated[str, proto(1)] = ""
    conditions: Annotated[
        list[NamespaceCondition], proto(2, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class Namespace(Resource):
    """A scope for names."""

    spec: Annotated[NamespaceSpec, proto(2)] = field(default_factory=NamespaceSpec)
    status: Annotated[NamespaceStatus, proto(3)] = field(default_factory=NamespaceStatus)


FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"
ACTIVE, TERMINATING = "Active", "Terminating"


def _default(namespace: Namespace) -> None:
    if namespace.metadata.name:
        namespace.metadata.labels[NAME_LABEL] = namespace.metadata.name
    namespace.status.phase = namespace.status.phase or ACTIVE


def _prepare(namespace: Namespace, old: Namespace | None) -> None:
    """Create: Active, and not to be removed before its content is. Update: finalizers and status stay."""
    if old is not None:
        namespace.spec.finalizers = list(old.spec.finalizers)
        namespace.status = copy_of(old.status)
        return
    namespace.status = NamespaceStatus(phase=ACTIVE)
    if FINALIZER not in namespace.spec.finalizers:
        namespace.spec.finalizers.append(FINALIZER)


def _prepare_status(namespace: Namespace, old: Namespace) -> None:
    namespace.spec = copy_of(old.spec)


def _validate(namespace: Namespace, old: Namespace | None) -> Iterator[FieldError]:
    if old is None:
        for finalizer in namespace.spec.finalizers:
            yield from finalizer_name("spec.finalizers", finalizer)


def _validate_status(namespace: Namespace, _old: Namespace | None) -> Iterator[FieldError]:
    phase = namespace.status.phase
    if not namespace.metadata.deletion_timestamp and phase != ACTIVE:
        yield invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")
    if namespace.metadata.deletion_timestamp and phase != TERMINATING:
        yield invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")


def prepare_finalize(namespace: Namespace, old: Namespace) -> None:
    """`/finalize`: only the finalizers of the spec change."""
    namespace.status = copy_of(old.status)


def validate_finalize(namespace: Namespace, _old: Namespace | None) -> Iterator[FieldError]:
    for index, finalizer in enumerate(namespace.spec.finalizers):
        yield from finalizer_name(f"spec.finalizers[{index}]", finalizer)


NAMESPACE = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    schema=Namespace,
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource("finalize", ("update",)), Subresource("status", ("get", "patch", "update"))),
    name_rule=names.dns_label_name,
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    fields={
        "status.phase": lambda namespace: namespace.status.phase,
        "name": lambda namespace: namespace.metadata.name,
    },
    columns=(NAME, Column("Status", "string", lambda obj: obj.status.phase, "Active or Terminating."), AGE),
)
