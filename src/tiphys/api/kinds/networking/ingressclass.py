"""IngressClass. Source: staging/src/k8s.io/api/networking/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto


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


INGRESSCLASS = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    schema=IngressClass,
    namespaced=False,
    generation=True,
)
