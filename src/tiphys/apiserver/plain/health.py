"""/healthz, /livez, /readyz: named checks, all of them or one by path.

`?verbose` lists every check, `?exclude=name` leaves one out. Source: staging/src/k8s.io/apiserver/pkg/server/healthz.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply
from tiphys.base.metrics import Metrics

log = logging.getLogger(__name__)

Check = Callable[[], str]
"""Empty: well. Otherwise why not; it is logged, not shown."""
FILLING_HOOKS = (
    "start-apiserver-admission-initializer", "generic-apiserver-start-informers", "storage-readiness",
    "start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced",
    "start-service-ip-repair-controllers", "start-cluster-authentication-info-controller",
    "start-kube-aggregator-informers", "apiservice-registration-controller",
    "apiservice-status-local-available-controller", "apiservice-status-remote-available-controller",
    "kube-apiserver-autoregistration", "apiservice-openapi-controller",
)  # fmt: skip
"""Upstream's hooks after the start whose work is done here when the watch cache is filled."""
BOOTSTRAP_HOOKS = (
    "rbac/bootstrap-roles", "bootstrap-controller", "start-system-namespaces-controller",
    "scheduling/bootstrap-system-priority-classes",
)  # fmt: skip
"""Those whose work is done when the objects of an empty cluster are written."""
_HEADERS = (("X-Content-Type-Options", "nosniff"),)
_TEXT = "text/plain; charset=utf-8"


class Health:
    """The checks of one endpoint, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._checks: dict[str, Check] = {"ping": lambda: ""}
        self._results: dict[tuple[str, str], float] = {}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    @property
    def names(self) -> Iterable[str]:
        return tuple(self._checks)

    async def serve(self, exchange: Exchange) -> Reply:
        below = exchange.path.strip("/").partition("/")[2]
        if below:
            return self._one(below)
        query = exchange.info.query
        excluded = set(query.get("exclude", ()))
        lines: list[str] = []
        failed: list[str] = []
        for name, check in self._checks.items():
            if name in excluded:
                excluded.discard(name)
                lines.append(f"[+]{name} excluded: ok")
                continue
            why = self._checked(name, check)
            if why:
                failed.append(f"{name}: {why}")
                lines.append(f"[-]{name} failed: reason withheld")
            else:
                lines.append(f"[+]{name} ok")
        if excluded:
            quoted = ",".join(f'"{name}"' for name in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if failed:
            log.info("%s check failed: %s", self.name, "; ".join(failed))
            return Answer("\n".join([*lines, f"{self.name} check failed", ""]).encode(), 500, _TEXT, _HEADERS)
        if "verbose" not in query:
            return Answer(b"ok", 200, _TEXT, _HEADERS)
        return Answer("\n".join([*lines, f"{self.name} check passed", ""]).encode(), 200, _TEXT, _HEADERS)

    def _checked(self, name: str, check: Check) -> str:
        why = check()
        key = (name, "error" if why else "success")
        self._results[key] = self._results.get(key, 0.0) + 1
        return why

    def states(self) -> dict[tuple[str, ...], float]:
        """Every check by (name, endpoint), made now: 1 where all is well."""
        return {(name, self.name): 0.0 if self._checked(name, check) else 1.0 for name, check in self._checks.items()}

    def results(self) -> dict[tuple[str, ...], float]:
        """How often checks ended so, by (name, endpoint, `success` or `error`)."""
        return {(name, self.name, status): count for (name, status), count in self._results.items()}

    def _one(self, name: str) -> Answer:
        check = self._checks.get(name)
        if check is None:
            return Answer(b"404 page not found\n", 404, _TEXT, _HEADERS)
        why = self._checked(name, check)
        if why:
            log.info("%s check %s failed: %s", self.name, name, why)
            return Answer(f"internal server error: {why}\n".encode(), 500, _TEXT, _HEADERS)
        return Answer(b"ok", 200, _TEXT, _HEADERS)


def indicators(*endpoints: Health) -> Metrics:
    """What /metrics/slis shows. Source: k8s.io/component-base/metrics/prometheus/slis, KEP 3466."""
    metrics = Metrics()
    metrics.gauge(
        "kubernetes_healthcheck",
        "This metric records the result of a single healthcheck.",
        "name",
        "type",
        collect=lambda: {key: value for each in endpoints for key, value in each.states().items()},
    )
    metrics.counter(
        "kubernetes_healthchecks_total",
        "This metric records the results of all healthcheck.",
        "name",
        "type",
        "status",
        collect=lambda: {key: value for each in endpoints for key, value in each.results().items()},
    )
    return metrics
