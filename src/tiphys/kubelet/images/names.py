"""Image references: are they well formed, and which registry do they name. Pure.

Source: the grammar of distribution/reference; pkg/credentialprovider/keyring.go.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable

from tiphys.api.kinds.core.secret import Secret
from tiphys.kubelet.cri.images import AuthConfig

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])"
_REFERENCE = re.compile(
    rf"^(?:{_HOST}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$"
)
_DEFAULT_REGISTRY = "docker.io"


class InvalidReference(ValueError):
    """Not an image name. The text is upstream's."""


def normalized(image: str) -> str:
    """The reference with `:latest` where it has neither tag nor digest. Raises InvalidReference."""
    if not _REFERENCE.match(image) or len(image) > 1024:
        lower = image.lower()
        if lower != image and _REFERENCE.match(lower):
            problem = "repository name must be lowercase"
            raise InvalidReference(f'couldn\'t parse image name "{image}": invalid reference format: {problem}')
        raise InvalidReference(f'couldn\'t parse image name "{image}": invalid reference format')
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return image + ":latest"


def repository_of(image: str) -> str:
    """`docker.io/library/nginx` for `nginx:1`: registry and path, without tag and digest."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"{_DEFAULT_REGISTRY}/{name if rest else 'library/' + name}"


def credentials(image: str, secrets: Iterable[Secret]) -> list[AuthConfig]:
    """The logins of pull secrets that fit the image, the most specific first. Malformed secrets are passed over."""
    repository = repository_of(image)
    found: list[tuple[int, AuthConfig]] = []
    for secret in secrets:
        for registry, login in _logins(secret).items():
            address = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
            address = address.removesuffix("/v1").removesuffix("/v2")
            if address in ("index.docker.io", "registry-1.docker.io"):
                address = _DEFAULT_REGISTRY
            if repository == address or repository.startswith(address + "/"):
                found.append((len(address), login))
    return [login for _, login in sorted(found, key=lambda entry: -entry[0])]


def _logins(secret: Secret) -> dict[str, AuthConfig]:
    try:
        if secret.type == "kubernetes.io/dockerconfigjson":
            entries = json.loads(secret.data.get(".dockerconfigjson", b"{}")).get("auths", {})
        elif secret.type == "kubernetes.io/dockercfg":
            entries = json.loads(secret.data.get(".dockercfg", b"{}"))
        else:
            return {}
        return {registry: _login(entry) for registry, entry in entries.items() if isinstance(entry, dict)}
    except (ValueError, AttributeError):
        return {}


def _login(entry: dict[str, str]) -> AuthConfig:
    user, password = entry.get("username", ""), entry.get("password", "")
    if "auth" in entry and not user:
        try:
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
    return AuthConfig(username=user, password=password, identity_token=entry.get("identitytoken", ""))
