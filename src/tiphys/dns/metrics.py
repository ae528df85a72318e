"""DNS metrics under the names that dashboards know from CoreDNS. Source: its plugins metrics, cache and forward."""

from __future__ import annotations

from tiphys.base.metrics import Labels, Metrics

_BOUNDS = tuple(0.00025 * 2**i for i in range(16))


class DnsMetrics:
    """Counting an answer is one addition: `answered[protocol, type, rcode]`; everything else follows from that."""

    def __init__(self) -> None:
        self._metrics = Metrics()
        self.answered: dict[Labels, float] = {}
        self._metrics.counter(
            "coredns_dns_requests_total", "Questions.", "proto", "type", collect=lambda: self._summed(0, 1)
        )
        self._metrics.counter("coredns_dns_responses_total", "Answers.", "rcode", collect=lambda: self._summed(2))
        self.hits = self._metrics.counter("coredns_cache_hits_total", "Answers of others that were still kept.")
        self.misses = self._metrics.counter("coredns_cache_misses_total", "Questions that others had to be asked.")
        self.forwarded_s = self._metrics.histogram(
            "coredns_proxy_request_duration_seconds", "How long the node's resolvers take to answer.", _BOUNDS
        )
        self.failures = self._metrics.counter(
            "tiphys_dns_forward_failures_total", "Questions that no resolver answered."
        )

    def count(self, protocol: str, kind: str, code: str) -> None:
        key = (protocol, kind, code)
        self.answered[key] = self.answered.get(key, 0.0) + 1.0

    def render(self) -> bytes:
        return self._metrics.render()

    def _summed(self, *places: int) -> dict[Labels, float]:
        found: dict[Labels, float] = {}
        for key, count in self.answered.items():
            labels = tuple(key[place] for place in places)
            found[labels] = found.get(labels, 0.0) + count
        return found
