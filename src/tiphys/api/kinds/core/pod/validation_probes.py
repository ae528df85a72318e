"""What probes and lifecycle hooks may say. Source: pkg/apis/core/validation/validation.go, validateHandler."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core.checks import port_number_or_name
from tiphys.api.kinds.core.pod.containers import Container, HTTPGetAction, Lifecycle, LifecycleHandler, Probe
from tiphys.api.meta.validation import each, non_negative


def validate_probes(container: Container, grace_s: int | None, at: str) -> Iterator[FieldError]:
    """The three probes of a container at `at`."""
    for title, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is None:
            continue
        path = f"{at}.{title}"
        yield from _probe(probe, grace_s, path)
        if title == "readinessProbe":
            if probe.termination_grace_period_seconds is not None:
                given = probe.termination_grace_period_seconds
                yield invalid(f"{path}.terminationGracePeriodSeconds", given, "must not be set for readinessProbes")
        elif probe.success_threshold != 1:
            yield invalid(f"{path}.successThreshold", probe.success_threshold, "must be 1")


def _probe(probe: Probe, grace_s: int | None, path: str) -> Iterator[FieldError]:
    yield from _handler(probe, grace_s, path)
    numbers = {
        "initialDelaySeconds": probe.initial_delay_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "periodSeconds": probe.period_seconds,
        "successThreshold": probe.success_threshold,
        "failureThreshold": probe.failure_threshold,
    }
    for title, number in numbers.items():
        yield from non_negative(f"{path}.{title}", number)
    grace = probe.termination_grace_period_seconds
    if grace is not None and grace <= 0:
        yield invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def validate_lifecycle(lifecycle: Lifecycle | None, grace_s: int | None, path: str) -> Iterator[FieldError]:
    if lifecycle is None:
        return
    if lifecycle.post_start is not None:
        yield from _handler(lifecycle.post_start, grace_s, f"{path}.postStart")
    if lifecycle.pre_stop is not None:
        yield from _handler(lifecycle.pre_stop, grace_s, f"{path}.preStop")


def _handler(handler: Probe | LifecycleHandler, grace_s: int | None, path: str) -> Iterator[FieldError]:
    grpc = handler.grpc if isinstance(handler, Probe) else None
    sleep = handler.sleep if isinstance(handler, LifecycleHandler) else None
    choices = {
        "exec": handler.exec,
        "httpGet": handler.http_get,
        "tcpSocket": handler.tcp_socket,
        "grpc": grpc,
        "sleep": sleep,
    }
    given = [title for title, action in choices.items() if action is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    for title in given[1:]:
        yield forbidden(f"{path}.{title}", "may not specify more than 1 handler type")
    first = given[0]
    if first == "exec" and handler.exec is not None and not handler.exec.command:
        yield required(f"{path}.exec.command")
    elif first == "httpGet" and handler.http_get is not None:
        yield from _http_get(handler.http_get, f"{path}.httpGet")
    elif first == "tcpSocket" and handler.tcp_socket is not None:
        yield from port_number_or_name(f"{path}.tcpSocket.port", handler.tcp_socket.port)
    elif first == "grpc" and grpc is not None:
        yield from port_number_or_name(f"{path}.grpc.port", grpc.port)
    elif first == "sleep" and sleep is not None and grace_s is not None and not 0 <= sleep.seconds <= grace_s:
        why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
        yield invalid(f"{path}.sleep", sleep.seconds, why)


def _http_get(action: HTTPGetAction, path: str) -> Iterator[FieldError]:
    if not action.path:
        yield required(f"{path}.path")
    yield from port_number_or_name(f"{path}.port", action.port)
    if action.scheme not in ("HTTP", "HTTPS"):
        yield not_supported(f"{path}.scheme", action.scheme, ["HTTP", "HTTPS"])
    for header in action.http_headers:
        yield from each(f"{path}.httpHeaders", header.name, names.http_header_name(header.name))
