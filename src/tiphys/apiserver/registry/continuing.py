"""Continue tokens: where a list broke off, and at which revision. Source: apiserver/pkg/storage/continue.go."""

from __future__ import annotations

import base64
import binascii
import posixpath

import msgspec

from tiphys.api.errors import BadRequest

INCONSISTENT = -1
"""A revision that means: go on from the key, at whatever is current."""


class _Token(msgspec.Struct, omit_defaults=True):
    v: str = ""
    rv: int = 0
    start: str = ""


def encode(start: bytes, prefix: bytes, revision: int) -> str:
    """A token for the keys from `start` on, which begins with `prefix`."""
    token = _Token("meta.k8s.io/v1", revision, start[len(prefix) :].decode())
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def decode(token: str, prefix: bytes) -> tuple[bytes, int]:
    """(first key, revision). Raises BadRequest with upstream's words."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        read = msgspec.json.decode(data, type=_Token)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise _refused(f"continue key is not valid: {error}") from None
    if read.v != "meta.k8s.io/v1":
        raise _refused(f"continue key is not valid: server does not recognize this encoded version {read.v}")
    if read.rv == 0:
        raise _refused("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not read.start:
        raise _refused("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    key = read.start if read.start.startswith("/") else "/" + read.start
    if posixpath.normpath(key) != key:
        # A start key that climbs out of its prefix would read other kinds.
        raise _refused(f"continue key is not valid: {read.start}")
    return prefix + key[1:].encode(), read.rv


def _refused(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: {why}")
