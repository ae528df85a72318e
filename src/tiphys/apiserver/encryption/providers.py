"""The ciphers: how a value looks on disk, and back. The storage key is authenticated with it wherever a cipher can.

A value on disk begins with `k8s:enc:<cipher>:v1:<key name>:`, so that any configuration that still knows the key reads
it, upstream's too. Source: staging/src/k8s.io/apiserver/pkg/storage/value/{transformer.go,encrypt}.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

PREFIX = b"k8s:enc:"
_NONCE, _TAG, _BLOCK = 12, 16, 16


class Undecryptable(Exception):
    """A value that no key of ours opens, or that was changed; the text never holds any of it."""


class Provider(Protocol):
    """One way to encrypt. `prefix` is what its values begin with."""

    @property
    def prefix(self) -> bytes: ...

    @property
    def label(self) -> bytes:
        """Names cipher and key: values that bear another one are to be written again."""

    def label_of(self, data: bytes) -> bytes:
        """The label of a stored value of ours."""

    def encrypt(self, key: bytes, plain: bytes) -> bytes:
        """`key` is the storage key."""

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        """Raises Undecryptable."""


class Cipher(Protocol):
    """Encryption with one key, without a prefix."""

    def seal(self, plain: bytes, associated: bytes) -> bytes: ...

    def open(self, data: bytes, associated: bytes) -> bytes:
        """Raises Undecryptable."""


class AesGcm:
    """96 random bits of nonce, then ciphertext and tag."""

    def __init__(self, secret: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(secret)

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, plain, associated)

    def open(self, data: bytes, associated: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        if len(data) < _NONCE + _TAG:
            raise Undecryptable("the stored data was shorter than the required size")
        try:
            return self._aead.decrypt(data[:_NONCE], data[_NONCE:], associated)
        except InvalidTag:
            raise Undecryptable("cipher: message authentication failed") from None


class AesCbc:
    """Not authenticated: kept for what upstream's configurations have."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, plain: bytes, _associated: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher as Ciphers
        from cryptography.hazmat.primitives.ciphers import algorithms, modes

        vector = os.urandom(_BLOCK)
        padding = _BLOCK - len(plain) % _BLOCK
        encryptor = Ciphers(algorithms.AES(self._secret), modes.CBC(vector)).encryptor()
        return vector + encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()

    def open(self, data: bytes, _associated: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher as Ciphers
        from cryptography.hazmat.primitives.ciphers import algorithms, modes

        if len(data) < _BLOCK:
            raise Undecryptable("the stored data was shorter than the required size")
        vector, body = data[:_BLOCK], data[_BLOCK:]
        if not body or len(body) % _BLOCK:
            raise Undecryptable("the stored data is not a multiple of the block size")
        decryptor = Ciphers(algorithms.AES(self._secret), modes.CBC(vector)).decryptor()
        plain = decryptor.update(body) + decryptor.finalize()
        padding = plain[-1]
        if not 1 <= padding <= _BLOCK or plain[-padding:] != bytes([padding]) * padding:
            raise Undecryptable("invalid padding on input")
        return plain[:-padding]


class Secretbox:
    """XSalsa20 and Poly1305, as NaCl has them: 24 random bytes of nonce first."""

    def __init__(self, secret: bytes) -> None:
        from nacl.secret import SecretBox

        self._box = SecretBox(secret)

    def seal(self, plain: bytes, _associated: bytes) -> bytes:
        return bytes(self._box.encrypt(plain))

    def open(self, data: bytes, _associated: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        try:
            return bytes(self._box.decrypt(data))
        except (CryptoError, ValueError):
            raise Undecryptable("output array was not large enough for encryption") from None


class Keyed:
    """One cipher with several keys: the first writes, the one that a value names reads it."""

    def __init__(self, name: str, ciphers: Sequence[tuple[str, Cipher]]) -> None:
        self.prefix = PREFIX + name.encode() + b":v1:"
        self._ciphers = {key.encode(): cipher for key, cipher in ciphers}
        self._name = name
        first = ciphers[0][0].encode()
        self._primary = self._ciphers[first]
        self.label = self.prefix + first + b":"

    def label_of(self, data: bytes) -> bytes:
        return data[: data.find(b":", len(self.prefix)) + 1]

    def encrypt(self, key: bytes, plain: bytes) -> bytes:
        return self.label + self._primary.seal(plain, key)

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        name, colon, body = data[len(self.prefix) :].partition(b":")
        cipher = self._ciphers.get(name) if colon else None
        if cipher is None:
            raise Undecryptable(f"no matching key was found for the provided {self._name.upper()} transformer")
        return cipher.open(body, key)


class Plain:
    """`identity`: as it is. What bears a cipher's prefix is not ours to read."""

    prefix = b""
    label = b""

    def label_of(self, _data: bytes) -> bytes:
        return b""

    def encrypt(self, _key: bytes, plain: bytes) -> bytes:
        return plain

    def decrypt(self, _key: bytes, data: bytes) -> bytes:
        if data.startswith(PREFIX):
            raise Undecryptable("identity transformer tried to read encrypted data")
        return data


class Chain:
    """The providers of some resources: the first writes, the one whose prefix a value bears reads it."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = tuple(providers)
        self._plain = next((one for one in providers if not one.prefix), None)

    @property
    def label(self) -> bytes:
        return self._providers[0].label

    def _of(self, data: bytes) -> Provider:
        for provider in self._providers:
            if provider.prefix and data.startswith(provider.prefix):
                return provider
        if self._plain is None or data.startswith(PREFIX):
            raise Undecryptable(
                "no matching prefix found"
                if self._plain is None
                else "identity transformer tried to read encrypted data"
            )
        return self._plain

    def label_of(self, data: bytes) -> bytes:
        try:
            return self._of(data).label_of(data)
        except Undecryptable:
            return b"?"

    def encrypt(self, key: bytes, plain: bytes) -> bytes:
        return self._providers[0].encrypt(key, plain)

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        """Raises Undecryptable."""
        return self._of(data).decrypt(key, data)
