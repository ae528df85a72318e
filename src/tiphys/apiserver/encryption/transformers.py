"""Which chain of providers a storage key belongs to, made from the configuration.

Source: staging/src/k8s.io/apiserver/pkg/server/options/encryptionconfig/config.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.cache.cache import key_prefix
from tiphys.apiserver.configfile import seconds
from tiphys.apiserver.encryption import config as c
from tiphys.apiserver.encryption.kms import KmsProvider, KmsService
from tiphys.apiserver.encryption.providers import AesCbc, AesGcm, Chain, Cipher, Keyed, Plain, Provider, Secretbox

_ROOT = b"/registry/"


class Transformers:
    """`of(key)` is the chain that a key's value goes through; None: it is stored as it is."""

    def __init__(self, config: c.EncryptionConfiguration, kinds: Iterable[Kind[Any]]) -> None:
        self._names = {key_prefix(kind): (kind.group, kind.plural) for kind in reversed(tuple(kinds))}
        self._rules: list[tuple[str, Chain]] = []
        self.services: list[KmsProvider] = []
        for one in config.resources:
            chain = Chain([self._provider(provider) for provider in one.providers])
            self._rules += [(resource, chain) for resource in one.resources]
        self._known: dict[bytes, Chain | None] = {}

    def _provider(self, provider: c.Provider) -> Provider:
        ciphers: Mapping[str, tuple[c.Keys | None, Callable[[bytes], Cipher]]] = {
            "aesgcm": (provider.aesgcm, AesGcm), "aescbc": (provider.aescbc, AesCbc),
            "secretbox": (provider.secretbox, Secretbox),
        }  # fmt: skip
        for name, (keys, make) in ciphers.items():
            if keys is not None:
                return Keyed(name, [(key.name, make(c.secret_of(key))) for key in keys.keys])
        if provider.kms is not None:
            service = KmsService(provider.kms.endpoint, seconds(provider.kms.timeout))
            made = KmsProvider(provider.kms.name, service)
            self.services.append(made)
            return made
        return Plain()

    def of(self, key: bytes) -> Chain | None:
        if not key.startswith(_ROOT):
            return None
        first = key.find(b"/", len(_ROOT)) + 1
        second = key.find(b"/", first) + 1
        for prefix in (key[:second], key[:first]):
            named = self._names.get(prefix)
            if named is not None:
                break
        else:
            # A custom resource: /registry/GROUP/PLURAL/...
            prefix = key[:second]
            group, _, plural = prefix[len(_ROOT) : -1].decode("utf-8", "replace").partition("/")
            named = (group, plural)
        if prefix not in self._known:
            self._known[prefix] = self._chosen(*named)
        return self._known[prefix]

    def _chosen(self, group: str, plural: str) -> Chain | None:
        """The first rule that names the resource."""
        full = f"{plural}.{group}" if group else plural
        for rule, chain in self._rules:
            if rule in (full, "*.*") or rule.rstrip(".") == full or rule == f"*.{group}":
                return chain
        return None

    def refresh(self) -> None:
        """Ask the key services which keys they have. Blocks. Raises KmsUnavailable."""
        for service in self.services:
            service.refresh()

    def close(self) -> None:
        for service in self.services:
            service.close()
