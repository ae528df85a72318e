"""Values that upstream's API server wrote: protobuf in its envelope, where ours writes JSON; definitions as v1beta1.

A cluster's etcd can so be taken over as it is; what is written from then on is JSON, which upstream reads as well.
Source: staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1/types.go, and the storage version.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from tiphys.api import codec, protobuf
from tiphys.api.kind import Kind

log = logging.getLogger(__name__)
MAGIC = protobuf.MAGIC


_OLD_DEFINITION = b'"apiVersion":"apiextensions.k8s.io/v1beta1"'
_HEAD_BYTES = 200
"""kind and apiVersion come first."""
_OF_ALL_VERSIONS = {
    "validation": "schema", "subresources": "subresources", "selectableFields": "selectableFields",
    "additionalPrinterColumns": "additionalPrinterColumns",
}  # fmt: skip
"""What v1beta1 says once where it is the same for all versions -> where v1 says it, in each."""


def as_json(kind: Kind[Any], key: bytes, value: bytes) -> bytes:
    """The JSON that stands for `value` of `kind`, whoever wrote it. Raises ValueError for what is no such message."""
    if value.startswith(MAGIC):
        return _opened(kind, key, value)
    if kind.kind == "CustomResourceDefinition" and _OLD_DEFINITION in value[:_HEAD_BYTES]:
        return _definition(value)
    return value


def _definition(value: bytes) -> bytes:
    """A CustomResourceDefinition of v1beta1, as which upstream stores them, as v1."""
    obj = msgspec.json.decode(value)
    spec = obj["spec"]
    obj["apiVersion"] = "apiextensions.k8s.io/v1"
    first = spec.pop("version", "")
    spec["versions"] = spec.get("versions") or [{"name": first, "served": True, "storage": True}]
    for old, new in _OF_ALL_VERSIONS.items():
        said = spec.pop(old, None)
        for version in spec["versions"] if said is not None else ():
            version.setdefault(new, said)
    for version in spec["versions"]:
        columns = version.get("additionalPrinterColumns", ())
        if columns:
            version["additionalPrinterColumns"] = [
                {("jsonPath" if name == "JSONPath" else name): said for name, said in column.items()}
                for column in columns
            ]
    conversion = spec.get("conversion") or {"strategy": "None"}
    spec["conversion"] = {"strategy": conversion.get("strategy") or "None"}
    if "webhookClientConfig" in conversion:
        spec["conversion"]["webhook"] = {
            "clientConfig": conversion["webhookClientConfig"],
            "conversionReviewVersions": conversion.get("conversionReviewVersions") or ["v1beta1"],
        }
    return msgspec.json.encode(obj)


def _opened(kind: Kind[Any], key: bytes, value: bytes) -> bytes:
    """The JSON that stands for an enveloped `value` of `kind`. Raises ValueError for what is no such message."""
    api_version, name, message = protobuf.open_envelope(value)
    if (api_version, name) != (kind.api_version, kind.kind):
        # Versions of one kind mostly share their messages; what they do not share is lost, and must be told.
        log.warning("%s is stored as %s %s, and read as %s", key.decode(errors="replace"), api_version, name, kind)
    obj = protobuf.decode(kind.schema, message)
    obj.api_version, obj.kind = kind.api_version, kind.kind
    return codec.encode(obj)
