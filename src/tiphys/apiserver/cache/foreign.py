"""Values that upstream's API server wrote: protobuf in its envelope, where ours writes JSON.

A cluster's etcd can so be taken over as it is; what is written from then on is JSON, which upstream reads as well.
"""

from __future__ import annotations

import logging
from typing import Any

from tiphys.api import codec, protobuf
from tiphys.api.kind import Kind

log = logging.getLogger(__name__)
MAGIC = protobuf.MAGIC


def as_json(kind: Kind[Any], key: bytes, value: bytes) -> bytes:
    """The JSON that stands for an enveloped `value` of `kind`. Raises ValueError for what is no such message."""
    api_version, name, message = protobuf.open_envelope(value)
    if (api_version, name) != (kind.api_version, kind.kind):
        # Versions of one kind mostly share their messages; what they do not share is lost, and must be told.
        log.warning("%s is stored as %s %s, and read as %s", key.decode(errors="replace"), api_version, name, kind)
    obj = protobuf.decode(kind.schema, message)
    obj.api_version, obj.kind = kind.api_version, kind.kind
    return codec.encode(obj)
