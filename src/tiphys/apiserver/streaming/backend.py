"""One HTTP client for everything that is proxied."""

from __future__ import annotations

import aiohttp

_CONNECT_S = 10.0


class Backend:
    """The session is made when first used, in the loop that uses it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self.no_total_timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=0), auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(), timeout=self.no_total_timeout, read_bufsize=256 * 1024,
            )  # fmt: skip
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
