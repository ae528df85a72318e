"""ConfigMap. Source: staging/src/k8s.io/api/core/v1/types.go, pkg/apis/core/validation/validation.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, too_long
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.checks import MAX_CONTENT_BYTES
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import proto
from tiphys.api.meta.validation import each


class ConfigMap(Resource):
    """Configuration as keys and values, for pods to read."""

    immutable: Annotated[bool | None, proto(4)] = None
    data: Annotated[dict[str, str], proto(2)] = {}
    binary_data: Annotated[dict[str, bytes], proto(3)] = {}


FROZEN = "field is immutable when `immutable` is set"


def _validate(config: ConfigMap, old: ConfigMap | None) -> Iterator[FieldError]:
    if old is not None and old.immutable:
        if not config.immutable:
            yield forbidden("immutable", FROZEN)
        if config.data != old.data:
            yield forbidden("data", FROZEN)
        if config.binary_data != old.binary_data:
            yield forbidden("binaryData", FROZEN)
    total = 0
    for key, text in config.data.items():
        yield from each(f"data[{key}]", key, names.config_map_key(key))
        if key in config.binary_data:
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        total += len(text.encode())
    for key, content in config.binary_data.items():
        yield from each(f"binaryData[{key}]", key, names.config_map_key(key))
        total += len(content)
    if total > MAX_CONTENT_BYTES:
        yield too_long("[]", MAX_CONTENT_BYTES)


CONFIGMAP = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    schema=ConfigMap,
    short_names=("cm",),
    validate=_validate,
    columns=(NAME, Column("Data", "string", lambda obj: len(obj.data) + len(obj.binary_data), "How many keys."), AGE),
)
