"""Audit as the chain uses it: a trail for each request that the policy wants, and the backends that keep its events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tiphys.apiserver.chain.audit import policy as policies
from tiphys.apiserver.chain.audit.backends import AuditBackend, LogBackend, WebhookBackend
from tiphys.apiserver.chain.audit.policy import METADATA, NONE, Chosen, Policy
from tiphys.apiserver.chain.audit.trail import Trail
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.request import User
from tiphys.apiserver.security import AuditSettings
from tiphys.apiserver.streaming.backend import Backend
from tiphys.apiserver.webhook import Webhook
from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics

log = logging.getLogger(__name__)


class Auditor:
    """`begin` when the user is known."""

    def __init__(self, policy: Policy, backends: Sequence[AuditBackend], clock: Clock, metrics: Metrics) -> None:
        self._policy = policy
        self._backends = tuple(backends)
        self._clock = clock
        self._events = metrics.counter("apiserver_audit_event_total", "Audit events.")
        metrics.gauge(
            "apiserver_audit_error_total", "Audit events that were lost.",
            read=lambda: float(sum(backend.dropped for backend in self._backends)),
        )  # fmt: skip

    def begin(self, exchange: Exchange, user: User) -> Trail | None:
        """None: nothing of this request is recorded."""
        chosen = self._policy.choose(user, exchange.info)
        if chosen.level == NONE:
            return None
        trail = exchange.trail = Trail(exchange, user, chosen, self._clock, self._emit)
        trail.stage("RequestReceived")
        return trail

    def refused(self, exchange: Exchange, status: int) -> None:
        """A request whose user is not known: it is recorded as what anonymous ones would be."""
        chosen = self._policy.choose(User(""), exchange.info)
        if chosen.level == NONE:
            return
        trail = Trail(exchange, None, Chosen(METADATA, chosen.omitted), self._clock, self._emit)
        trail.stage("ResponseStarted", status)

    def _emit(self, event: bytes) -> None:
        self._events.inc()
        for backend in self._backends:
            backend.add(event)

    def tasks(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(backend.run(), name="audit") for backend in self._backends]


def auditor(settings: AuditSettings, backend: Backend, clock: Clock, metrics: Metrics) -> Auditor | None:
    """As the settings ask for; None: audit is off. Raises ConfigError."""
    if not settings.enabled:
        return None
    if settings.policy_file is None:
        log.warning("no audit policy file is given: no events will be recorded")
        return None
    policy = policies.load(settings.policy_file)
    backends: list[AuditBackend] = []
    if settings.log_path is not None:
        backends.append(LogBackend(settings, settings.log_path, clock))
    if settings.webhook_config_file is not None:
        backends.append(WebhookBackend(settings, Webhook(settings.webhook_config_file, backend, clock), clock))
    return Auditor(policy, backends, clock, metrics)
