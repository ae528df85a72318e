"""The chain: resolve, authenticate, impersonate, find room, authorize, handle; what goes wrong becomes a Status.

Source: staging/src/k8s.io/apiserver/pkg/server/config.go (DefaultBuildHandlerChain).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from tiphys.api.errors import ApiError, InternalError
from tiphys.apiserver.authz.authorizer import MASTERS, Authorizer
from tiphys.apiserver.chain.audit import AuditLog
from tiphys.apiserver.chain.authn import Authenticator
from tiphys.apiserver.chain.exchange import Exchange, Handler, Reply, Stream, Takeover
from tiphys.apiserver.chain.impersonation import asks, impersonate
from tiphys.apiserver.chain.limits import Deadlines, InFlight, timed_out
from tiphys.apiserver.chain.requestinfo import is_long_running, resolve
from tiphys.apiserver.plain.measures import Measures
from tiphys.apiserver.request import RequestInfo
from tiphys.apiserver.verbs.respond import error_answer
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)


class Pipeline:
    """`serve` takes an exchange with nothing filled in and always returns a reply."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        in_flight: InFlight,
        find: Callable[[RequestInfo], Handler],
        measures: Measures,
        *,
        clock: Clock,
        timeout_s: float,
        audit: AuditLog | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._in_flight = in_flight
        self._find = find
        self._measures = measures
        self._clock = clock
        self._deadlines = Deadlines(timeout_s)
        self._audit = audit
        self.active = 0
        """Requests that have no answer yet."""
        self._idle: asyncio.Event | None = None

    async def idle(self) -> None:
        """Returns when every request has its answer."""
        while self.active:
            self._idle = asyncio.Event()
            await self._idle.wait()

    async def serve(self, exchange: Exchange) -> Reply:
        self.active += 1
        received = self._clock.now() if self._audit is not None else None
        try:
            reply = await self._guarded(exchange)
        finally:
            self.active -= 1
            if self._idle is not None and not self.active:
                self._idle.set()
        status = 101 if isinstance(reply, Takeover) else reply.status
        if received is not None and self._audit is not None:
            self._audit.record(exchange, status, "", received, self._clock.now())
        if isinstance(reply, Stream | Takeover):
            self._measures.long_running(exchange.info, status)
        else:
            self._measures.finished(exchange.info, status, time.monotonic() - exchange.started, len(reply.body))
        return reply

    async def _guarded(self, exchange: Exchange) -> Reply:
        try:
            return await self._handle(exchange)
        except ApiError as error:
            return error_answer(exchange, error)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The last line of defence: the log gets the trace, the client a Status and no more.
            log.exception("%s %s failed", exchange.method, exchange.path)
            text = f"This request caused apiserver to panic. Look in the logs for details: {exchange.path}"
            return error_answer(exchange, InternalError(text))

    async def _handle(self, exchange: Exchange) -> Reply:
        info = exchange.info = resolve(exchange.method, exchange.path, exchange.raw_query)
        user = exchange.user = await self._authenticator.authenticate(exchange)
        if asks(exchange):
            user = exchange.user = await impersonate(exchange, self._authorizer)
        if is_long_running(info):
            await self._authorizer.check(user, info)
            return await self._find(info)(exchange)
        read = self._in_flight.enter(info.verb, privileged=MASTERS in user.groups)
        try:
            await self._authorizer.check(user, info)
            handler = self._find(info)
            if read:
                # Reads come from memory; what they may wait for (a revision to come) has its own, shorter limit.
                return await handler(exchange)
            deadline = self._deadlines.begin()
            try:
                return await handler(exchange)
            except asyncio.CancelledError:
                if deadline.ended_it():
                    raise timed_out(info) from None
                raise
            finally:
                self._deadlines.end(deadline)
        finally:
            self._in_flight.leave(read=read)
