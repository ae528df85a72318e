"""The keys that all control planes share, on their way to a new one: encrypted, in the Secret kube-system/tiphys-keys.

`tiphys token create --control-plane` makes a key for this one purpose, prints it, and keeps it nowhere; the Secret goes
with the token that it was made for. Who reads the API's store, or the Secret, has ciphertext.
Source: cmd/kubeadm/app/phases/copycerts (the same idea, and the same cipher: AES-256-GCM).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from tiphys.base import pki
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.settings import ClusterSettings, DataDirectory

KEY_BYTES = 32
_NONCE_BYTES = 12
_FIELD = "keys"
_FILES = ("ca.crt", "ca.key", "sa.key", "front-proxy-ca.crt", "front-proxy-ca.key")
_ETCD_CA = ("etcd/ca.crt", "etcd/ca.key")
EXTERNAL = ("etcd/external-ca.crt", "etcd/external-client.crt", "etcd/external-client.key")
"""Where the files of an etcd that the user runs are kept on machines that join."""


class Bundle(msgspec.Struct, frozen=True):
    """What a new control plane needs that must not be seen."""

    files: dict[str, bytes]
    """Paths below `pki/` -> contents."""
    etcd_servers: tuple[str, ...]
    """Where members answer clients."""

    def __repr__(self) -> str:
        return f"Bundle({sorted(self.files)})"


def gather(data: DataDirectory, settings: ClusterSettings, etcd_servers: tuple[str, ...]) -> Bundle:
    """Of this control plane. Raises ClusterError."""
    names = (*_FILES, *(_ETCD_CA if settings.etcd_ports is not None else ()))
    try:
        files = {name: (data.pki / name).read_bytes() for name in names}
        if settings.etcd is not None and settings.etcd_ports is None:
            given = (settings.etcd.ca_file, settings.etcd.cert_file, settings.etcd.key_file)
            files |= {name: Path(file).read_bytes() for name, file in zip(EXTERNAL, given, strict=True) if file}
    except OSError as error:
        raise ClusterError(f"{error.filename} cannot be read: {error.strerror}", "is this a control plane?") from error
    return Bundle(files, etcd_servers)


def new_key() -> str:
    """In hex."""
    return secrets.token_hex(KEY_BYTES)


def seal(bundle: Bundle, key: str) -> dict[str, bytes]:
    """The Secret's data."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return {_FIELD: nonce + AESGCM(bytes.fromhex(key)).encrypt(nonce, msgspec.json.encode(bundle), None)}


def open_sealed(data: dict[str, bytes], key: str) -> Bundle:
    """Raises ClusterError where `key` is not the one."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = bytes(data.get(_FIELD, b""))
    try:
        plain = AESGCM(parse_key(key)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        return msgspec.json.decode(plain, type=Bundle)
    except (InvalidTag, ValueError) as error:
        raise ClusterError(
            "the certificate key does not open the cluster's keys",
            "`tiphys token create --control-plane` prints a new line; the last one printed is good",
        ) from error


def parse_key(text: str) -> bytes:
    """Raises ClusterError."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ClusterError(f"the certificate key has {2 * KEY_BYTES} hexadecimal digits", "copy the whole line")
    return key


def unpack(bundle: Bundle, directory: Path) -> None:
    """Write the files below `directory`, for the owner alone. Raises OSError, ClusterError for a strange name."""
    known = {*_FILES, *_ETCD_CA, *EXTERNAL}
    for name, content in bundle.files.items():
        if name not in known:
            raise ClusterError(f"the cluster's keys hold an unknown file {name}", "is it of another version?")
        pki.write_private(directory / name, content)
