"""One HTTP client for everything that is proxied: the only place of the API server that knows the client framework.

The framework is imported when something is proxied first: it takes as long to load as the rest of the API server.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

_NOT_ADDED = ("Content-Type", "User-Agent", "Accept", "Accept-Encoding")
_CONNECT_S = 10.0


class Backend:
    """The session is made when first used, in the loop that uses it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> aiohttp.ClientResponse:
        """The backend's answer, its body still to be read. Takes as long as the backend does, but 10 s to connect.

        What the client left out stays out: a body without a Content-Type is JSON to an API server.
        `tls` None: certificates are not looked at. Raises OSError, TimeoutError.
        """
        import aiohttp
        from yarl import URL

        try:
            return await self._opened().request(
                method, URL(url, encoded=True), headers=headers, data=body or None,
                ssl=tls if tls is not None else False, server_hostname=server_name or None, allow_redirects=False,
                skip_auto_headers=_NOT_ADDED,
            )  # fmt: skip
        except aiohttp.ClientError as error:
            if isinstance(error, OSError):
                raise
            raise ConnectionError(str(error)) from error

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=0), auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=256 * 1024,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            )  # fmt: skip
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def batches(response: aiohttp.ClientResponse) -> AsyncIterator[list[bytes]]:
    """The body as it comes. Where the backend goes away in mid-stream, all that can be said is the end."""
    import aiohttp

    try:
        async for chunk in response.content.iter_any():
            yield [chunk]
    except (aiohttp.ClientError, OSError):
        return
    finally:
        response.close()
