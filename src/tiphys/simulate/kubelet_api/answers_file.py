"""The rules of `answers` out of a file's mappings. The form is in docs/simulation.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.simulate.fields import Fields
from tiphys.simulate.kubelet_api.answers import ExecRule, LogRule, PortRule, Rule, UsageRule


def _for_whom(fields: Fields) -> dict[str, Any]:
    return {
        "labels": fields.labels("labels"),
        "containers": frozenset(fields.texts("containers", [])),
        "chance": fields.share("chance", 1.0),
    }


def _log(fields: Fields) -> LogRule:
    every_s = fields.span("every", 10.0)
    if every_s < 0.001:
        raise ValueError(".every: must be at least 1ms")
    return LogRule(
        **_for_whom(fields),
        lines=tuple(fields.texts("lines", None)),
        every_s=every_s,
        jitter=fields.share("jitter", 0.0),
        repeat=fields.flag("repeat", default=True),
    )


def _exec(fields: Fields) -> ExecRule:
    return ExecRule(
        **_for_whom(fields),
        command=fields.text("command", "*"),
        stdout=fields.text("stdout", ""),
        stderr=fields.text("stderr", ""),
        exit_code=fields.whole("exitCode", 0, least=0, most=255),
        after_s=fields.span("after", 0.0),
        echo=fields.flag("echo", default=False),
    )


def _port(fields: Fields) -> PortRule:
    connect = fields.text("connect", "")
    host, _, number = connect.rpartition(":")
    if connect and not (host and number.isdigit() and 0 < int(number) < 65536):
        raise ValueError(".connect: must be HOST:PORT")
    return PortRule(
        **_for_whom(fields),
        ports=fields.wholes("ports", least=1, most=65535),
        http=fields.text("http", ""),
        echo=fields.flag("echo", default=False),
        connect=connect,
        refuse=fields.flag("refuse", default=False),
    )


def _usage(fields: Fields) -> UsageRule:
    period_s = fields.span("period", 600.0)
    if period_s < 1:
        raise ValueError(".period: must be at least 1s")
    return UsageRule(
        **_for_whom(fields),
        cpu_milli=fields.quantity("cpu", thousandths=True),
        memory_bytes=fields.quantity("memory"),
        share=fields.share("share", 0.5),
        jitter=fields.share("jitter", 0.0),
        period_s=period_s,
    )


READERS: dict[str, Callable[[Fields], Rule]] = {"logs": _log, "exec": _exec, "ports": _port, "usage": _usage}
"""By the name of the list."""
