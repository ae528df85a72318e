"""What the server itself writes into an object's metadata, and what it refuses there.

Source: staging/src/k8s.io/apiserver/pkg/registry/rest/{create,meta,update}.go, .../storage/names/generate.go.
"""

from __future__ import annotations

import json
import secrets
import uuid
from typing import Any

from tiphys.api import names
from tiphys.api.errors import (
    ApiError,
    BadRequest,
    Conflict,
    Invalid,
    invalid,
    invalid_object,
    object_conflict,
    object_not_found,
)
from tiphys.api.kind import Kind
from tiphys.api.meta.types import ObjectMeta

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED = 63


def bind_namespace(kind: Kind[Any], namespace: str, meta: ObjectMeta) -> None:
    """The object's namespace is the request's. Raises BadRequest where it says otherwise."""
    if not kind.namespaced:
        meta.namespace = ""
    elif not meta.namespace:
        meta.namespace = namespace
    elif meta.namespace != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def check_name(kind: Kind[Any], namespace: str, name: str, meta: ObjectMeta) -> None:
    """An update's body names the object of its URL. Raises BadRequest."""
    if not meta.name:
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if meta.name != name:
        raise BadRequest(f"the name of the object ({meta.name}) does not match the name on the URL ({name})")
    if kind.namespaced and namespace and meta.namespace and meta.namespace != namespace:
        raise BadRequest(
            f"the namespace of the object ({meta.namespace}) does not match the namespace on the request ({namespace})"
        )


def absent(kind: Kind[Any], name: str) -> ApiError:
    """What is answered where no object has this name: that there is none, or that there can be none."""
    if why := names.path_segment(name):
        return BadRequest(f"Name parameter invalid: {json.dumps(name)}: {';'.join(why)}")
    return object_not_found(kind.group, kind.plural, name)


def generated_name(kind: Kind[Any], base: str) -> str:
    """`base` and some letters that make no words; cut so that the whole fits a DNS label."""
    length = kind.generate_name_suffix
    return base[: _MAX_GENERATED - length] + random_letters(length)


def random_letters(length: int) -> str:
    """One system call for all of them; that some letters come a little more often does no harm."""
    return "".join([_ALPHABET[byte % len(_ALPHABET)] for byte in secrets.token_bytes(length)])


def begin(kind: Kind[Any], meta: ObjectMeta, now: str) -> None:
    """A new object's system fields, but for its name."""
    meta.uid = str(uuid.uuid4())
    meta.creation_timestamp = now
    meta.self_link = ""
    meta.deletion_timestamp = None
    meta.deletion_grace_period_seconds = None
    meta.generation = 1 if kind.generation else 0


def keep(meta: ObjectMeta, old: ObjectMeta) -> None:
    """An update leaves alone what belongs to the server."""
    meta.generation = old.generation
    meta.uid = meta.uid or old.uid
    meta.creation_timestamp = old.creation_timestamp or meta.creation_timestamp
    meta.self_link = ""
    if old.deletion_timestamp:
        meta.deletion_timestamp = old.deletion_timestamp
    if old.deletion_grace_period_seconds is not None and meta.deletion_grace_period_seconds is None:
        meta.deletion_grace_period_seconds = old.deletion_grace_period_seconds


def check_version(kind: Kind[Any], name: str, meta: ObjectMeta, current: str) -> None:
    """Optimistic concurrency. Raises Conflict, or Invalid where the kind insists on a version."""
    if not meta.resource_version or meta.resource_version == "0":
        if not kind.allow_unconditional_update:
            raise version_missing(kind, name)
    elif meta.resource_version != current:
        raise object_conflict(kind.group, kind.plural, name, MODIFIED)


def version_missing(kind: Kind[Any], name: str) -> Invalid:
    error = invalid("metadata.resourceVersion", 0, "must be specified for an update")
    return invalid_object(kind.group, kind.plural, name, [error])


def made_with_uid(kind: Kind[Any], name: str, uid: str) -> Conflict:
    """What is applied names a UID, and there is no such object."""
    why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    return object_conflict(kind.group, kind.plural, name, why)


def uid_conflict(kind: Kind[Any], name: str, key: bytes, wanted: str, found: str) -> Conflict:
    """The object is another one than the caller knew."""
    return object_conflict(
        kind.group,
        kind.plural,
        name,
        f"StorageError: invalid object, Code: 4, Key: {key.decode()}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}",
    )
