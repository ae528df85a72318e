"""What is counted of webhooks, under upstream's names.

Source: staging/src/k8s.io/apiserver/pkg/admission/metrics/metrics.go.
"""

from __future__ import annotations

from tiphys.base.metrics import Metrics

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
_MAX_CODE = 600


class WebhookMeasures:
    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(
            "apiserver_admission_webhook_admission_duration_seconds", "How long webhooks took.", _SECONDS,
            "name", "type", "operation", "rejected",
        )  # fmt: skip
        self._requests = metrics.counter(
            "apiserver_admission_webhook_request_total", "Webhooks asked.",
            "name", "type", "operation", "code", "rejected",
        )  # fmt: skip
        self._rejections = metrics.counter(
            "apiserver_admission_webhook_rejection_count", "Requests that webhooks, or their failures, refused.",
            "name", "type", "operation", "error_type", "rejection_code",
        )  # fmt: skip
        self._failed_open = metrics.counter(
            "apiserver_admission_webhook_fail_open_count", "Webhooks that failed and were passed over.", "name", "type"
        )
        self._exclusions = metrics.counter(
            "apiserver_admission_match_condition_exclusions_total", "Requests that match conditions excluded.",
            "name", "kind", "type", "operation",
        )  # fmt: skip

    def asked(self, name: str, type_: str, operation: str, seconds: float, code: int, *, rejected: bool) -> None:
        text = "true" if rejected else "false"
        self._seconds.observe(seconds, name, type_, operation, text)
        self._requests.inc(name, type_, operation, str(min(code, _MAX_CODE)), text)

    def rejected(self, name: str, type_: str, operation: str, error_type: str, code: int) -> None:
        self._rejections.inc(name, type_, operation, error_type, str(min(code, _MAX_CODE)))

    def failed_open(self, name: str, type_: str) -> None:
        self._failed_open.inc(name, type_)

    def excluded(self, name: str, type_: str, operation: str) -> None:
        self._exclusions.inc(name, "webhook", type_, operation)
