"""IngressClass. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, not_supported, required, too_long
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NONE
from tiphys.api.kinds.networking.ingress_validation import validate_reference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.validation import each, immutable


class IngressClassParametersReference(Struct):
    """The object that holds a class's settings."""

    api_group: Annotated[str | None, proto(1)] = None
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    scope: Annotated[str | None, proto(4)] = None
    namespace: Annotated[str | None, proto(5)] = None


class IngressClassSpec(Struct):
    """The controller, and where its settings are."""

    controller: Annotated[str, proto(1)] = ""
    parameters: Annotated[IngressClassParametersReference | None, proto(2)] = None


class IngressClass(Resource):
    """A named sort of ingress, and who carries it out."""

    spec: Annotated[IngressClassSpec, proto(2)] = field(default_factory=IngressClassSpec)


CLUSTER, NAMESPACE = "Cluster", "Namespace"
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
_MAX_CONTROLLER = 250


def _default(obj: IngressClass) -> None:
    parameters = obj.spec.parameters
    if parameters is not None and parameters.scope is None:
        parameters.scope = CLUSTER


def _validate(obj: IngressClass, old: IngressClass | None) -> Iterator[FieldError]:
    controller = obj.spec.controller
    if old is not None:
        yield from immutable("spec.controller", controller, old.spec.controller)
    if len(controller) > _MAX_CONTROLLER:
        yield too_long("spec.controller", _MAX_CONTROLLER)
    if not controller:
        yield required("spec.controller")
    else:
        yield from each("spec.controller", controller, names.domain_prefixed_path(controller))
    if obj.spec.parameters is not None:
        yield from _validate_parameters(obj.spec.parameters, "spec.parameters")


def _validate_parameters(given: IngressClassParametersReference, path: str) -> Iterator[FieldError]:
    yield from validate_reference(path, given.api_group, {"kind": given.kind, "name": given.name})
    if given.scope is None:
        yield required(f"{path}.scope")
    elif given.scope not in (CLUSTER, NAMESPACE):
        yield not_supported(f"{path}.scope", given.scope, (CLUSTER, NAMESPACE))
    elif given.scope == CLUSTER:
        if given.namespace is not None:
            yield forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif given.namespace is None:
        yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    else:
        yield from each(f"{path}.namespace", given.namespace, names.dns_label(given.namespace))


def _name_cell(obj: IngressClass) -> str:
    default = obj.metadata.annotations.get(DEFAULT_ANNOTATION) == "true"
    return obj.metadata.name + (" (default)" if default else "")


def _parameters_cell(obj: IngressClass) -> str:
    given = obj.spec.parameters
    if given is None:
        return NONE
    return given.kind + (f".{given.api_group}" if given.api_group is not None else "") + f"/{given.name}"


COLUMNS: tuple[Column[IngressClass], ...] = (
    Column("Name", "string", _name_cell, "The object's name.", format="name"),
    Column("Controller", "string", lambda obj: obj.spec.controller, "Who carries ingresses of the class out."),
    Column("Parameters", "string", _parameters_cell, "The object with its settings."),
    AGE,
)


INGRESSCLASS = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    schema=IngressClass,
    default=_default,
    validate=_validate,
    columns=COLUMNS,
    namespaced=False,
    generation=True,
)
