"""What a request carries to say who asks: TLS client certificate, bearer token or password."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile

from tiphys.base.clock import Clock
from tiphys.client.kubeconfig import Access, KubeconfigError

TOKEN_REREAD_S = 60.0
"""How long a token is used before its file is read again. Source: client-go transport/token_source.go."""


def tls_context(access: Access) -> ssl.SSLContext | None:
    """The TLS settings for `access`, or None for plain HTTP. Raises KubeconfigError when a PEM is not usable."""
    if access.server.startswith("http://"):
        return None
    context = ssl.create_default_context()
    try:
        if access.ca:
            context = ssl.create_default_context(cadata=access.ca.decode("ascii"))
        if access.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if access.client_certificate:
            _load_pair(context, access.client_certificate, access.client_key)
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise KubeconfigError(f"{access.server}: certificate or key is not usable: {error}") from error
    return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The ssl module reads pairs from files only; the file is private, and gone before this returns.
    descriptor, path = tempfile.mkstemp(prefix="tiphys-client-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)


class Credentials:
    """The headers of a request. Token files are read again when they may have been rotated."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access, self._clock = access, clock
        self._token = access.token
        self._read_at_s = float("-inf")

    def headers(self) -> dict[str, str]:
        access = self._access
        headers: dict[str, str] = {}
        token = self._current_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif access.username:
            pair = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        if access.impersonate:
            headers["Impersonate-User"] = access.impersonate
        return headers

    def refused(self) -> bool:
        """The server said 401: whether reading the token file again may help (it gave a new token)."""
        before = self._token
        self._read_at_s = float("-inf")
        return self._access.token_file is not None and self._current_token() != before

    def _current_token(self) -> str:
        path = self._access.token_file
        if path is None:
            return self._token
        now_s = self._clock.monotonic()
        if now_s - self._read_at_s >= TOKEN_REREAD_S:
            try:
                self._token = path.read_text().strip()
                self._read_at_s = now_s
            except OSError:
                # A rotation may be half done: the last token is still the best we have, unless there never was one.
                if not self._token:
                    raise
        return self._token
