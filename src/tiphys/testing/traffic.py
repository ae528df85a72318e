"""Between a test cluster's listener and its API: records every request, and makes some of them fail on demand.

The cluster's own controllers do not come this way: faults strike whoever is being tested, and nobody else.
"""

from __future__ import annotations

import asyncio
import fnmatch
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tiphys.api import errors
from tiphys.api.errors import ApiError
from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply, Stream, Takeover
from tiphys.apiserver.chain.requestinfo import resolve
from tiphys.apiserver.request import RequestInfo
from tiphys.apiserver.verbs.respond import error_answer
from tiphys.base.clock import Clock, rfc3339_micro

RECORDED = 20_000
"""Requests kept, the latest."""

Serve = Callable[[Exchange], Awaitable[Reply]]

_ERRORS: dict[int, tuple[type[ApiError], str]] = {
    400: (errors.BadRequest, "the request was refused by an injected fault"),
    401: (errors.Unauthorized, "Unauthorized"),
    403: (errors.Forbidden, "forbidden by an injected fault"),
    404: (errors.NotFound, "not found, by an injected fault"),
    409: (errors.Conflict, "the object has been modified; please apply your changes to the latest version"),
    410: (errors.Expired, "The resourceVersion for the provided watch is too old."),
    422: (errors.Invalid, "invalid, by an injected fault"),
    429: (errors.TooManyRequests, "Too many requests, please try again later."),
    500: (errors.InternalError, "Internal error occurred: injected fault"),
    503: (errors.ServiceUnavailable, "the server is currently unable to handle the request"),
    504: (errors.Timeout, "Timeout: request did not complete within the allotted timeout"),
}  # fmt: skip


class Fault(msgspec.Struct):
    """What is to go wrong, for which requests. Empty selectors match everything; patterns are shell-like."""

    status: int = 500
    """An HTTP status of a refusal; 0: the request is served after all (with `delay_s`); -1: the connection breaks."""
    verbs: list[str] = []
    resource: str = ""
    """The plural, `deployments` or `pods/status`; a pattern."""
    group: str = "*"
    namespace: str = "*"
    name: str = "*"
    user: str = "*"
    times: int = 0
    """How many requests it strikes; 0: all, until it is removed."""
    chance: float = 1.0
    message: str = ""
    retry_after_s: int = 0
    delay_s: float = 0.0
    id: int = 0
    struck: int = 0

    def matches(self, info: RequestInfo, user: str) -> bool:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        return (
            not (self.times and self.struck >= self.times)
            and (not self.verbs or info.verb in self.verbs)
            and (not self.resource or fnmatch.fnmatchcase(resource, self.resource))
            and fnmatch.fnmatchcase(info.group, self.group)
            and fnmatch.fnmatchcase(info.namespace, self.namespace)
            and fnmatch.fnmatchcase(info.name, self.name)
            and fnmatch.fnmatchcase(user, self.user)
        )


class Request(msgspec.Struct, omit_defaults=True):
    """One request that was made."""

    time: str
    """Of the cluster's clock."""
    method: str
    path: str
    query: str = ""
    verb: str = ""
    group: str = ""
    resource: str = ""
    """With the subresource: `pods/status`."""
    namespace: str = ""
    name: str = ""
    user: str = ""
    agent: str = ""
    status: int = 0
    """0: not answered yet; -1: the connection was broken."""
    duration_ms: float = 0.0
    fault: bool = False
    """Whether an injected fault answered."""


class Traffic:
    """`around` goes into the API server."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 # chance in tests, reproducible
        self._watches: dict[int, tuple[RequestInfo, Stream]] = {}
        self._faults: dict[int, Fault] = {}
        self._numbers = 0
        self.requests: deque[Request] = deque(maxlen=RECORDED)
        self.active = 0
        """Requests without an answer."""

    def around(self, serve: Serve) -> Serve:
        async def served(exchange: Exchange) -> Reply:
            self.active += 1
            try:
                return await self._serve(serve, exchange)
            finally:
                self.active -= 1

        return served

    async def _serve(self, serve: Serve, exchange: Exchange) -> Reply:
        started_s = self._clock.monotonic()
        record = Request(
            rfc3339_micro(self._clock.now()), exchange.method, exchange.path, exchange.raw_query,
            agent=exchange.headers.get("user-agent", ""),
        )  # fmt: skip
        self.requests.append(record)
        info = _info(exchange)
        user = exchange.client_user.name if exchange.client_user is not None else ""
        fault = self._fault(info, user)
        reply = await self._struck(fault, exchange, info) if fault is not None else None
        record.fault = reply is not None
        if reply is None:
            reply = await serve(exchange)
            user = exchange.user.name or user
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        record.verb, record.group, record.resource = info.verb, info.group, resource
        record.namespace, record.name, record.user = info.namespace, info.name, user
        record.status = reply.status if isinstance(reply, Answer | Stream) else 101 if not record.fault else -1
        record.duration_ms = round((self._clock.monotonic() - started_s) * 1000, 2)
        if isinstance(reply, Stream) and info.verb == "watch":
            self._follow(info, reply)
        return reply

    # Faults.

    def add(self, fault: Fault) -> int:
        """Raises ValueError for a status that no refusal has."""
        if fault.status not in (0, -1) and fault.status not in _ERRORS:
            raise ValueError(f"a fault cannot have status {fault.status}: use one of {sorted(_ERRORS)}, 0 or -1")
        self._numbers += 1
        fault.id = self._numbers
        self._faults[fault.id] = fault
        return fault.id

    def remove(self, id_: int = 0) -> int:
        """End one fault, or all of them; returns how often it struck."""
        gone = list(self._faults.values()) if id_ == 0 else [f for f in (self._faults.get(id_),) if f is not None]
        for fault in gone:
            del self._faults[fault.id]
        return sum(fault.struck for fault in gone)

    def faults(self) -> list[Fault]:
        return list(self._faults.values())

    def _fault(self, info: RequestInfo, user: str) -> Fault | None:
        for fault in self._faults.values():
            if fault.matches(info, user) and self._random.random() < fault.chance:
                fault.struck += 1
                return fault
        return None

    async def _struck(self, fault: Fault, exchange: Exchange, info: RequestInfo) -> Reply | None:
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.status == 0:
            return None
        if fault.status == -1:
            return Takeover(_broken)
        exchange.info = info
        class_, text = _ERRORS[fault.status]
        error = class_(fault.message or text, name=info.name, kind=info.resource, retry_after_s=fault.retry_after_s)
        return error_answer(exchange, error)

    # Watches.

    def _follow(self, info: RequestInfo, stream: Stream) -> None:
        self._numbers += 1
        number, close = self._numbers, stream.close
        self._watches[number] = (info, stream)

        def closed() -> None:
            self._watches.pop(number, None)
            close()

        stream.close = closed

    def drop_watches(self, resource: str = "*") -> int:
        """End the watches of these resources (a pattern), as a server does that goes away; returns how many."""
        gone = [stream for info, stream in self._watches.values() if fnmatch.fnmatchcase(info.resource, resource)]
        for stream in gone:
            end: Any = getattr(stream.batches, "close", stream.close)
            end()
        return len(gone)


async def _broken(client: Any) -> None:
    client.close()


def _info(exchange: Exchange) -> RequestInfo:
    try:
        return resolve(exchange.method, exchange.path, exchange.raw_query)
    except ApiError:
        return RequestInfo(verb=exchange.method.lower(), path=exchange.path)
