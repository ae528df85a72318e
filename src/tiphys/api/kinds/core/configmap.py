"""DOC:kinds/core/configmap.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import proto


class ConfigMap(Resource):
    """DOC:core.ConfigMap"""

    immutable: Annotated[bool | None, proto(4)] = None
    data: Annotated[dict[str, str], proto(2)] = {}
    binary_data: Annotated[dict[str, bytes], proto(3)] = {}


CONFIGMAP = Kind(group="", version="v1", kind="ConfigMap", plural="configmaps", schema=ConfigMap, short_names=("cm",))
