"""The proxy's metrics, with upstream's names. Source: pkg/proxy/metrics/metrics.go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics

_BOUNDS = tuple(0.001 * 2**i for i in range(15))


class ProxyMetrics:
    """What bringing rules into the kernel costs, and when it was last done."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._metrics = clock, Metrics()
        self._sync_s = self._metrics.histogram(
            "kubeproxy_sync_proxy_rules_duration_seconds", "How long the kernel takes for a burst of changes.", _BOUNDS
        )
        self._last = self._metrics.gauge(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When the kernel last held what it should."
        )
        self._failures = self._metrics.counter(
            "kubeproxy_sync_proxy_rules_failures_total", "How often the kernel refused."
        )

    @contextlib.contextmanager
    def syncing(self) -> Iterator[None]:
        """Around every attempt."""
        began_s = self._clock.monotonic()
        try:
            yield
        except BaseException:
            self._failures.inc()
            raise
        self._sync_s.observe(self._clock.monotonic() - began_s)
        self._last.set(self._clock.now().timestamp())

    def render(self) -> bytes:
        return self._metrics.render()
