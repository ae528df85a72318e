"""Secret. Source: staging/src/k8s.io/api/core/v1/types.go, pkg/apis/core/validation/validation.go."""

import json
from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, required, too_long
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.core.checks import MAX_CONTENT_BYTES
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import proto
from tiphys.api.meta.validation import each, immutable


class Secret(Resource):
    """Small confidential data, as keys and bytes."""

    immutable: Annotated[bool | None, proto(5)] = None
    data: Annotated[dict[str, bytes], proto(2)] = {}
    string_data: Annotated[dict[str, str], proto(4)] = {}
    type: Annotated[str, proto(3)] = ""


FROZEN = "field is immutable when `immutable` is set"
OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - the name of a type, not a secret
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_DOCKER_KEYS = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


def _default(secret: Secret) -> None:
    """`stringData` is for writing only: it goes into `data`, and is its writer's there."""
    secret.type = secret.type or OPAQUE
    for key, text in secret.string_data.items():
        secret.data[key] = text.encode()
    secret.string_data = {}


def _prepare(secret: Secret, old: Secret | None) -> None:
    """An update that names no type keeps the old one."""
    if old is not None:
        secret.type = secret.type or old.type


def _validate(secret: Secret, old: Secret | None) -> Iterator[FieldError]:
    if old is not None:
        yield from immutable("type", secret.type, old.type)
        if old.immutable:
            if not secret.immutable:
                yield forbidden("immutable", FROZEN)
            if secret.data != old.data:
                yield forbidden("data", FROZEN)
    total = 0
    for key, content in secret.data.items():
        yield from each(f"data[{key}]", key, names.config_map_key(key))
        total += len(content)
    if total > MAX_CONTENT_BYTES:
        yield too_long("data", MAX_CONTENT_BYTES)
    yield from _validate_type(secret)


def _validate_type(secret: Secret) -> Iterator[FieldError]:
    """The keys that the well-known types promise."""
    data = secret.data
    if secret.type == SERVICE_ACCOUNT_TOKEN:
        if not secret.metadata.annotations.get(SERVICE_ACCOUNT_NAME):
            yield required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")
    elif secret.type in _DOCKER_KEYS:
        key = _DOCKER_KEYS[secret.type]
        if key not in data:
            yield required(f"data[{key}]")
        else:
            yield from _validate_docker(f"data[{key}]", data[key])
    elif secret.type == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            yield required("data[username]")
            yield required("data[password]")
    elif secret.type == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            yield required("data[ssh-privatekey]")
    elif secret.type == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in data:
                yield required(f"data[{key}]")


def _validate_docker(path: str, content: bytes) -> Iterator[FieldError]:
    redacted = "<secret contents redacted>"
    try:
        parsed = json.loads(content)
    except ValueError as error:
        yield invalid(path, redacted, str(error))
        return
    if not isinstance(parsed, dict):
        yield invalid(path, redacted, "must be a JSON object")


SECRET = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    schema=Secret,
    default=_default,
    prepare=_prepare,
    validate=_validate,
    fields={"type": lambda secret: secret.type},
    columns=(
        NAME,
        Column("Type", "string", lambda secret: secret.type, "What the secret is for."),
        Column("Data", "string", lambda secret: len(secret.data), "How many keys."),
        AGE,
    ),
)
