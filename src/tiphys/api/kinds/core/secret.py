"""DOC:kinds/core/secret.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import proto


class Secret(Resource):
    """DOC:core.Secret"""

    immutable: Annotated[bool | None, proto(5)] = None
    data: Annotated[dict[str, bytes], proto(2)] = {}
    string_data: Annotated[dict[str, str], proto(4)] = {}
    type: Annotated[str, proto(3)] = ""


SECRET = Kind(group="", version="v1", kind="Secret", plural="secrets", schema=Secret)
