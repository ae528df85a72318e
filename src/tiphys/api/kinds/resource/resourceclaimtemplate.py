"""ResourceClaimTemplate. Source: staging/src/k8s.io/api/resource/v1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Kind
from tiphys.api.kinds.resource.types import ResourceClaimSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, field, proto
from tiphys.api.meta.types import ObjectMeta


class ResourceClaimTemplateSpec(Struct):
    """The claim that is made for each pod."""

    metadata: Annotated[ObjectMeta, proto(1)] = field(default_factory=ObjectMeta)
    spec: Annotated[ResourceClaimSpec, proto(2, required=True)] = field(default_factory=ResourceClaimSpec)


class ResourceClaimTemplate(Resource):
    """A claim to copy for each pod."""

    spec: Annotated[ResourceClaimTemplateSpec, proto(2, required=True)] = field(
        default_factory=ResourceClaimTemplateSpec
    )


RESOURCECLAIMTEMPLATE = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    schema=ResourceClaimTemplate,
)

RESOURCECLAIMTEMPLATE_V1BETA2 = replace(RESOURCECLAIMTEMPLATE, version="v1beta2", stored_as=RESOURCECLAIMTEMPLATE)
