"""PodTemplate. Source: staging/src/k8s.io/api/core/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import NAME, container_images, container_names, labels_text
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.pod.validation import validate_template
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class PodTemplate(Resource):
    """A pod to copy, kept as an object of its own."""

    template: Annotated[PodTemplateSpec, proto(2)] = field(default_factory=PodTemplateSpec)


def _default(obj: PodTemplate) -> None:
    default_spec(obj.template.spec)


def _validate(obj: PodTemplate, _old: PodTemplate | None) -> Iterator[FieldError]:
    yield from validate_template(obj.template, "template")


COLUMNS: tuple[Column[PodTemplate], ...] = (
    NAME,
    Column("Containers", "string", lambda obj: container_names(obj.template.spec.containers), "Its containers."),
    Column("Images", "string", lambda obj: container_images(obj.template.spec.containers), "Their images."),
    Column("Pod Labels", "string", lambda obj: labels_text(obj.template.metadata.labels), "The pods' labels."),
)


PODTEMPLATE = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    schema=PodTemplate,
    default=_default,
    validate=_validate,
    columns=COLUMNS,
    generation=True,
)
