"""VolumeAttributesClass. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto


class VolumeAttributesClass(Resource):
    """Named settings of volumes that may change while in use."""

    driver_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    parameters: Annotated[dict[str, str], proto(3)] = {}


VOLUMEATTRIBUTESCLASS = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    schema=VolumeAttributesClass,
    namespaced=False,
    short_names=("vac",),
)

VOLUMEATTRIBUTESCLASS_V1BETA1 = replace(VOLUMEATTRIBUTESCLASS, version="v1beta1", stored_as=VOLUMEATTRIBUTESCLASS)
