"""EncryptionConfiguration: which resources are encrypted, by which providers, with which keys.

Source: staging/src/k8s.io/apiserver/pkg/apis/apiserver/{v1/types_encryption.go,validation/validation_encryption.go}.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import field

from tiphys.api.errors import FieldError, invalid, required
from tiphys.apiserver.configfile import Document, Section, read, refuse, seconds

_AES_SIZES = (16, 24, 32)
_SECRETBOX_SIZES = (32,)
_NOT_STORED = frozenset({
    "apiserveripinfo.", "serviceipallocations.", "servicenodeportallocations.",
})  # fmt: skip


class Key(Section, frozen=True, kw_only=True):
    name: str = ""
    secret: str = ""
    """base64"""

    def __repr__(self) -> str:
        return f"Key({self.name})"  # secrets stay out of logs


class Keys(Section, frozen=True, kw_only=True):
    keys: list[Key] = []


class Kms(Section, frozen=True, kw_only=True):
    api_version: str = "v1"
    name: str = ""
    cachesize: int | None = None
    endpoint: str = ""
    timeout: str = "3s"


class Identity(Section, frozen=True, kw_only=True):
    """Not encrypted."""


class Provider(Section, frozen=True, kw_only=True):
    """Exactly one field is set."""

    aesgcm: Keys | None = None
    aescbc: Keys | None = None
    secretbox: Keys | None = None
    identity: Identity | None = None
    kms: Kms | None = None


class ResourceConfiguration(Section, frozen=True, kw_only=True):
    resources: list[str] = []
    """`secrets`, `widgets.example.com`, `*.apps`, `*.` (the core group) or `*.*`."""
    providers: list[Provider] = []
    """The first one writes, all of them read."""


class EncryptionConfiguration(Document, frozen=True, kw_only=True):
    resources: list[ResourceConfiguration] = field(default_factory=list)


def load(path: Path) -> EncryptionConfiguration:
    """Raises ConfigError, also for what does not validate; keys are never shown."""
    found = read(path, "EncryptionConfiguration", {"apiserver.config.k8s.io/v1": EncryptionConfiguration})
    refuse(str(path), validate(found))
    return found


def secret_of(key: Key) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(key.secret, validate=True)


def validate(config: EncryptionConfiguration) -> Iterator[FieldError]:
    if not config.resources:
        yield required("resources", "at least one resources is required")
    names: set[str] = set()
    for index, one in enumerate(config.resources):
        at = f"resources[{index}]"
        if not one.resources:
            yield required(f"{at}.resources", f"at least one {at}.resources is required")
        yield from _resources(one.resources, f"{at}.resources")
        if not one.providers:
            yield required(f"{at}.providers", f"at least one {at}.providers is required")
        for number, provider in enumerate(one.providers):
            yield from _provider(provider, f"{at}.providers[{number}]", names)


def _resources(resources: Sequence[str], at: str) -> Iterator[FieldError]:
    if len(set(resources)) != len(resources):
        yield invalid(at, list(resources), "the same resource cannot be specified multiple times")
    wide = [name for name in resources if name.startswith("*.")]
    for name in wide:
        group = name[2:]
        if any(other != name and (group == "*" or _group(other) == group) for other in resources):
            why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as "
            yield invalid(at, list(resources), why + "they will be masked")
            break
    for index, name in enumerate(resources):
        here = f"{at}[{index}]"
        if name != name.lower():
            yield invalid(here, name, "resource name should not contain capital letters")
        elif name == "*":
            why = "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
            yield invalid(here, name, why)
        elif name in _NOT_STORED or f"{name}." in _NOT_STORED:
            yield invalid(here, name, "resources which do not have REST API/s cannot be encrypted")
        elif name == "*.events.k8s.io" or name.endswith(".events.k8s.io"):
            why = "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in "
            yield invalid(here, name, why + "the config file")
        elif _group(name) == "extensions":
            yield invalid(here, name, "'extensions' group has been removed and cannot be used for encryption")
        elif (name.startswith("*") and not name.startswith("*.")) or (name.endswith(".*") and name != "*.*"):
            yield invalid(here, name, "encrypting the same resource across groups is not supported")


def _group(resource: str) -> str:
    return resource.partition(".")[2]


def _provider(provider: Provider, at: str, names: set[str]) -> Iterator[FieldError]:
    stated = [name for name in Provider.__struct_fields__ if getattr(provider, name) is not None]
    if len(stated) != 1:
        why = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
        if stated:
            why = "more than one provider specified in a single element, should split into different list elements"
        yield invalid(at, "", why)
        return
    for name, keys, sizes in (
        ("aesgcm", provider.aesgcm, _AES_SIZES), ("aescbc", provider.aescbc, _AES_SIZES),
        ("secretbox", provider.secretbox, _SECRETBOX_SIZES),
    ):  # fmt: skip
        if keys is not None:
            yield from _keys(keys, f"{at}.{name}.keys", sizes)
    if provider.kms is not None:
        yield from _kms(provider.kms, f"{at}.kms", names)


def _keys(keys: Keys, at: str, sizes: tuple[int, ...]) -> Iterator[FieldError]:
    if not keys.keys:
        yield required(at, "at least one keys is required")
    for index, key in enumerate(keys.keys):
        here = f"{at}[{index}]"
        if not key.name:
            yield required(f"{here}.name", "name is a mandatory field for a key")
        if not key.secret:
            yield required(f"{here}.secret", "secret is a mandatory field for a key")
            continue
        try:
            length = len(secret_of(key))
        except (binascii.Error, ValueError):
            yield invalid(f"{here}.secret", "REDACTED", "secrets must be base64 encoded")
            continue
        if length not in sizes:
            wanted = " ".join(map(str, sizes))
            why = f"secret is not of the expected length, got {length}, expected one of [{wanted}]"
            yield invalid(f"{here}.secret", "REDACTED", why)


def _kms(kms: Kms, at: str, names: set[str]) -> Iterator[FieldError]:
    if not kms.name:
        yield required(f"{at}.name", "name is a mandatory field for a provider")
    elif ":" in kms.name:
        yield invalid(f"{at}.name", kms.name, f"invalid KMS provider name {kms.name}, must not contain ':'")
    elif kms.name in names:
        why = f"duplicate KMS provider name {kms.name}, names must be unique"
        yield invalid(f"{at}.name", kms.name, why)
    names.add(kms.name)
    if not kms.endpoint:
        yield invalid(f"{at}.endpoint", "", "endpoint is a mandatory field for a provider")
    elif not kms.endpoint.startswith("unix:"):
        scheme = kms.endpoint.partition(":")[0]
        yield invalid(
            f"{at}.endpoint", kms.endpoint, f'unsupported scheme "{scheme}" for KMS provider, only unix is supported'
        )
    if kms.api_version != "v2":
        # v1 is gone by default upstream since 1.29; it decrypts each object's key remotely and is not built here.
        yield invalid(f"{at}.apiVersion", kms.api_version, f"unsupported apiVersion {kms.api_version} for KMS provider")
    try:
        if seconds(kms.timeout) <= 0:
            yield invalid(f"{at}.timeout", kms.timeout, "timeout should be a positive value")
    except ValueError as error:
        yield invalid(f"{at}.timeout", kms.timeout, str(error))
