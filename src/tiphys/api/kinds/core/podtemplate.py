"""PodTemplate. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class PodTemplate(Resource):
    """A pod to copy, kept as an object of its own."""

    template: Annotated[PodTemplateSpec, proto(2)] = field(default_factory=PodTemplateSpec)


PODTEMPLATE = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    schema=PodTemplate,
    generation=True,
)
