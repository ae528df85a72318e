"""What is counted of policies, under upstream's names.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/{validating,mutating}/metrics/metrics.go.
"""

from __future__ import annotations

from tiphys.base.metrics import Metrics

_SECONDS = (0.0000005, 0.001, 0.01, 0.1, 1.0)
_LABELS = ("policy", "policy_binding", "error_type", "enforcement_action")


class PolicyMeasures:
    """Of the policies of one kind: `validating` or `mutating`."""

    def __init__(self, metrics: Metrics, kind: str) -> None:
        name = f"apiserver_{kind}_admission_policy_check"
        self._checks = metrics.counter(f"{name}_total", "Policies that refused, warned, noted or failed.", *_LABELS)
        self._seconds = metrics.histogram(
            f"{name}_duration_seconds", "How long single expressions took.", _SECONDS, *_LABELS
        )

    def observe(self, policy: str, binding: str, action: str, seconds: float, error: str = "no_error") -> None:
        """`action`: allow, deny, audit, warn. `error`: see `error_type`."""
        self._checks.inc(policy, binding, error, action)
        self._seconds.observe(seconds, policy, binding, error, action)


def error_type(message: str) -> str:
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"
