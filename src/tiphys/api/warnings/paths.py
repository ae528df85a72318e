"""Files of one volume that would stand in each other's way. Source: pkg/api/pod/warnings.go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class _File(NamedTuple):
    path: str
    source: str = ""

    def __str__(self) -> str:
        return f'"{self.path}" ({self.source})' if self.source else f'"{self.path}"'


def overlapping_paths(volumes: Iterable[Any]) -> Iterator[str]:
    """A key that is written where another one is, or into a directory where another one is a file."""
    for volume in volumes:
        if volume.config_map is not None:
            where = f'ConfigMap "{volume.config_map.name}"'
            yield from _told(volume.name, where, _items(volume.config_map.items))
        if volume.secret is not None:
            yield from _told(volume.name, f'Secret "{volume.secret.secret_name}"', _items(volume.secret.items))
        if volume.downward_api is not None:
            yield from _told(volume.name, "DownwardAPI", _items(volume.downward_api.items))
        if volume.projected is not None:
            for source in volume.projected.sources:
                if source == type(source)():
                    yield f'volume "{volume.name}" (Projected) has no sources provided'
            files = [file for source in volume.projected.sources for file in _projected(source)]
            yield from _told(volume.name, "Projected", files)


def _items(items: Iterable[Any], source: str = "") -> list[_File]:
    return [_File(item.path, source) for item in items]


def _projected(source: Any) -> list[_File]:
    """What one source of a projected volume writes, as far as it says."""
    if source.config_map is not None:
        return _items(source.config_map.items, f'ConfigMap "{source.config_map.name}"')
    if source.secret is not None:
        return _items(source.secret.items, f'Secret "{source.secret.name}"')
    if source.downward_api is not None:
        return _items(source.downward_api.items, "DownwardAPI")
    if source.service_account_token is not None:
        return [_File(source.service_account_token.path, "ServiceAccountToken")]
    if source.cluster_trust_bundle is not None:
        bundle = source.cluster_trust_bundle
        return [_File(bundle.path, f'ClusterTrustBundle "{bundle.name or bundle.signer_name or ""}"')]
    if source.pod_certificate is not None:
        pair = source.pod_certificate
        found = [
            _File(pair.certificate_chain_path, "PodCertificate chain"), _File(pair.key_path, "PodCertificate key"),
            _File(pair.credential_bundle_path, "PodCertificate credential bundle"),
        ]  # fmt: skip
        return [file for file in found if file.path]
    return []


def _told(volume: str, what: str, files: list[_File]) -> Iterator[str]:
    seen: list[_File] = []
    for file in files:
        own = file._replace(path=file.path.rstrip("/"))
        for other in seen:
            if own.path and other.path and _collide(own.path, other.path):
                yield f'volume "{volume}" ({what}): overlapping paths: {own} with {other}'
        seen.append(own)


def _collide(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
