"""The chain: resolve, authenticate, audit, impersonate, find room, authorize, handle; what goes wrong becomes a Status.

Source: staging/src/k8s.io/apiserver/pkg/server/config.go (DefaultBuildHandlerChain).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tiphys.api.errors import ApiError, BadRequest, InternalError, Unauthorized
from tiphys.apiserver.authz.authorizer import MASTERS, Authorizer
from tiphys.apiserver.chain.authn import Authenticator
from tiphys.apiserver.chain.exchange import Answer, Exchange, Handler, Reply, Stream, Takeover
from tiphys.apiserver.chain.forbidden import denied
from tiphys.apiserver.chain.impersonation import Impersonation, asks
from tiphys.apiserver.chain.limits import Deadlines, InFlight, timed_out
from tiphys.apiserver.chain.requestinfo import is_long_running, resolve
from tiphys.apiserver.configfile import seconds
from tiphys.apiserver.flowcontrol.control import TooMany
from tiphys.apiserver.plain.measures import Measures
from tiphys.apiserver.request import RequestInfo, User
from tiphys.apiserver.verbs.respond import error_answer
from tiphys.base.clock import Clock

if TYPE_CHECKING:
    from tiphys.apiserver.chain.audit.auditor import Auditor
    from tiphys.apiserver.chain.audit.trail import Trail
    from tiphys.apiserver.flowcontrol.assembly import Gate

log = logging.getLogger(__name__)


class Pipeline:
    """`serve` takes an exchange with nothing filled in and always returns a reply."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        room: InFlight | Gate,
        find: Callable[[RequestInfo], Handler],
        measures: Measures,
        *,
        clock: Clock,
        timeout_s: float,
        auditor: Auditor | None = None,
    ) -> None:
        """`room`: two counters, or priority and fairness."""
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._impersonation = Impersonation(authorizer)
        self._in_flight = room if isinstance(room, InFlight) else None
        self._gate = None if isinstance(room, InFlight) else room
        self._find = find
        self._measures = measures
        self._clock = clock
        self._timeout_s = timeout_s
        self._deadlines = Deadlines(timeout_s)
        self._auditor = auditor
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
        try:
            reply = await self._guarded(exchange)
        finally:
            self.active -= 1
            if self._idle is not None and not self.active:
                self._idle.set()
        if exchange.trail is not None:
            _record(exchange.trail, reply)
        if isinstance(reply, Stream | Takeover):
            status = 101 if isinstance(reply, Takeover) else reply.status
            self._measures.long_running(exchange.info, status)
        else:
            self._measures.finished(exchange.info, reply.status, time.monotonic() - exchange.started, len(reply.body))
        return reply

    async def _guarded(self, exchange: Exchange) -> Reply:
        try:
            return await self._handle(exchange)
        except TooMany as refused:
            return refused.answer
        except ApiError as error:
            if self._auditor is not None and exchange.trail is None and isinstance(error, Unauthorized):
                self._auditor.refused(exchange, error.code)
            return error_answer(exchange, error)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The last line of defence: the log gets the trace, the client a Status and no more.
            log.exception("%s %s failed", exchange.method, exchange.path)
            if exchange.trail is not None:
                exchange.trail.stage("Panic", 500)
                exchange.trail = None
            text = f"This request caused apiserver to panic. Look in the logs for details: {exchange.path}"
            return error_answer(exchange, InternalError(text))

    async def _handle(self, exchange: Exchange) -> Reply:
        info = exchange.info = resolve(exchange.method, exchange.path, exchange.raw_query)
        user = exchange.user = await self._authenticator.authenticate(exchange)
        trail = self._auditor.begin(exchange, user) if self._auditor is not None else None
        if asks(exchange):
            user, constraint = await self._impersonation.user_of(exchange)
            exchange.user = user
            if trail is not None:
                trail.impersonated, trail.constraint = user, constraint
        if "timeout" in info.query and not is_long_running(info):
            return await self._hurried(exchange, user, info, trail)
        if is_long_running(info) and (info.verb != "watch" or self._gate is None):
            await self._authorize(user, info, trail)
            return await self._find(info)(exchange)
        return await self._placed(exchange, user, info, trail)

    async def _hurried(self, exchange: Exchange, user: User, info: RequestInfo, trail: Trail | None) -> Reply:
        """Within the time that the client gives it, which may be less than ours. Raises BadRequest, Timeout.

        Source: staging/src/k8s.io/apiserver/pkg/endpoints/filters/request_deadline.go.
        """
        text = info.query["timeout"][0]
        try:
            limit_s = seconds(text) if text else 0.0
        except ValueError as error:
            raise BadRequest(f"invalid timeout specified in the request URL - {error}") from error
        if not 0 < limit_s < self._timeout_s:
            return await self._placed(exchange, user, info, trail)
        try:
            async with asyncio.timeout(limit_s):
                return await self._placed(exchange, user, info, trail)
        except TimeoutError:
            raise timed_out(info) from None

    async def _placed(self, exchange: Exchange, user: User, info: RequestInfo, trail: Trail | None) -> Reply:
        if self._gate is not None:
            return await self._through(self._gate, exchange, user, info, trail)
        return await self._counted(exchange, user, info, trail)

    async def _through(
        self, gate: Gate, exchange: Exchange, user: User, info: RequestInfo, trail: Trail | None
    ) -> Reply:
        """With the seats of the request's flow. Raises TooMany."""
        control = gate.control
        ticket = await control.enter(user, info)
        try:
            try:
                await self._authorize(user, info, trail)
                handler = self._find(info)
                reply = await (handler(exchange) if ticket.read else self._timed(handler, exchange, info))
            except ApiError as error:
                reply = error_answer(exchange, error)
        finally:
            control.leave(ticket)
        if isinstance(reply, Takeover):
            return reply
        reply.headers = (*reply.headers, *ticket.flow.schema.headers)
        if info.verb == "watch" and isinstance(reply, Stream):
            # Its seats were for what it begins with; from now on it counts as a watcher, which writes pay for.
            gate.watch_begins(info.group, info.resource)
            close, counted = reply.close, True

            def ended() -> None:
                nonlocal counted
                if counted:
                    counted = False
                    gate.watch_ends(info.group, info.resource)
                close()

            reply.close = ended
        return reply

    async def _counted(self, exchange: Exchange, user: User, info: RequestInfo, trail: Trail | None) -> Reply:
        """With a place among all reads or all writes."""
        in_flight = self._in_flight
        if in_flight is None:
            raise AssertionError("there is either a gate or a counter")
        read = in_flight.enter(info.verb, privileged=MASTERS in user.groups)
        try:
            await self._authorize(user, info, trail)
            handler = self._find(info)
            return await (handler(exchange) if read else self._timed(handler, exchange, info))
        finally:
            in_flight.leave(read=read)

    async def _timed(self, handler: Handler, exchange: Exchange, info: RequestInfo) -> Reply:
        """Writes end in time. Reads come from memory; what they may wait for (a revision to come) has its own limit."""
        deadline = self._deadlines.begin()
        try:
            return await handler(exchange)
        except asyncio.CancelledError:
            if deadline.ended_it():
                raise timed_out(info) from None
            raise
        finally:
            self._deadlines.end(deadline)

    async def _authorize(self, user: User, info: RequestInfo, trail: Trail | None) -> None:
        """Raises Forbidden."""
        if trail is None:
            await self._authorizer.check(user, info)
            return
        decision = await self._authorizer.decide(user, info)
        trail.annotate({
            "authorization.k8s.io/decision": "allow" if decision.allowed else "forbid",
            "authorization.k8s.io/reason": decision.reason,
        })  # fmt: skip
        if not decision.allowed:
            raise denied(user, info, decision.reason)


def _record(trail: Trail, reply: Reply) -> None:
    if isinstance(reply, Answer):
        body = b""
        if trail.wants_answer or reply.status >= 400:
            body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        trail.stage("ResponseComplete", reply.status, body, reply.content_type)
        return
    if isinstance(reply, Takeover):
        trail.stage("ResponseStarted", 101)
        run = reply.run

        async def recorded(client: object) -> None:
            try:
                await run(client)  # type: ignore[arg-type] # handed through
            finally:
                trail.stage("ResponseComplete", 101)

        reply.run = recorded
        return
    trail.stage("ResponseStarted", reply.status)
    close, status, open_ = reply.close, reply.status, [True]

    def closed() -> None:
        if open_.pop() if open_ else False:
            trail.stage("ResponseComplete", status)
        close()

    reply.close = closed
