"""What simulated containers say, run and use: data, and which of it is for which container.

Of each list the first rule that is for a container counts; the defaults come last. Chance comes from the seed, the
pod's UID and the rule's place in its list: the same again for the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeVar

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.quantity import milli, value

CPU_USAGE = "simulate.tiphys.dev/cpu-usage"
"""Annotation: what each of the pod's containers uses, as a quantity; before all rules."""
MEMORY_USAGE = "simulate.tiphys.dev/memory-usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which containers it is for. Every condition that is given must hold."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the pod."""
    containers: frozenset[str] = frozenset()
    """Names; empty: any."""
    chance: float = 1.0
    """The share of pods that it is for."""


R = TypeVar("R", bound=Rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRule(Rule):
    """A line each `every_s`, up to `jitter` of that late, from the container's start to its end."""

    lines: Sequence[str]
    """With `{pod}`, `{namespace}`, `{node}`, `{container}`; `{n}` is the line's number, from 1."""
    every_s: float = 10.0
    jitter: float = 0.0
    """0 to 1."""
    repeat: bool = True
    """After the last line comes the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRule(Rule):
    """What comes of a command."""

    command: str = "*"
    """The command's words joined by blanks, with `*`, `?` and `[...]`."""
    stdout: str = ""
    """Besides the names of logs: `{command}`, and `{arguments}` without the first word."""
    stderr: str = ""
    exit_code: int = 0
    after_s: float = 0.0
    echo: bool = False
    """What comes on stdin goes out on stdout, until it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRule(Rule):
    """What answers at a port that is forwarded."""

    ports: frozenset[int] = frozenset()
    """Empty: any."""
    http: str = ""
    """The text of an HTTP answer to whatever is asked; `{port}` besides the names of logs."""
    echo: bool = False
    """What comes goes back."""
    connect: str = ""
    """`host:port`: a real program there answers."""
    refuse: bool = False
    """Nothing listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRule(Rule):
    """What a container uses. It swings around that by up to `jitter` of it."""

    cpu_milli: int | None = None
    """None: a share of what it requests, or a little."""
    memory_bytes: int | None = None
    share: float = 0.5
    """Of the request, where no amount is given."""
    jitter: float = 0.0
    """0 to 1."""
    period_s: float = 600.0
    """Of the swing."""


DEFAULT_LOGS = (LogRule(lines=("{namespace}/{pod} {container}: line {n}",)),)
DEFAULT_EXEC = (
    *(ExecRule(command=shell, echo=True) for shell in ("cat", "sh", "bash", "/bin/sh", "/bin/bash", "sh -", "cat -")),
    ExecRule(command="echo *", stdout="{arguments}\n"),
    ExecRule(command="hostname", stdout="{pod}\n"),
    ExecRule(command="true"),
    ExecRule(command="false", exit_code=1),
    ExecRule(stdout="{command}\n"),
)
DEFAULT_PORTS = (PortRule(http="{namespace}/{pod} port {port}\n"),)
DEFAULT_USAGE = (UsageRule(jitter=0.1),)
UNREQUESTED_CPU_MILLI, UNREQUESTED_MEMORY_BYTES = 10, 32 << 20


@dataclass(frozen=True, slots=True)
class Answers:
    """All rules, in the order in which they are asked."""

    logs: Sequence[LogRule] = DEFAULT_LOGS
    exec: Sequence[ExecRule] = DEFAULT_EXEC
    ports: Sequence[PortRule] = DEFAULT_PORTS
    usage: Sequence[UsageRule] = DEFAULT_USAGE
    seed: int = 0

    def log_of(self, pod: Pod, container: str) -> LogRule:
        return self._first(self.logs, pod, container)

    def exec_of(self, pod: Pod, container: str, command: Sequence[str]) -> ExecRule:
        text = " ".join(command)
        return self._first(self.exec, pod, container, lambda rule: fnmatchcase(text, rule.command))

    def port_of(self, pod: Pod, port: int) -> PortRule:
        return self._first(self.ports, pod, "", lambda rule: not rule.ports or port in rule.ports)

    def usage_of(self, pod: Pod, container: str) -> UsageRule:
        return self._first(self.usage, pod, container)

    def share(self, *parts: object) -> float:
        """From 0 to below 1, evenly; the same for the same parts."""
        return zlib.crc32("/".join(map(str, (self.seed, *parts))).encode()) / 2**32

    def _first(self, rules: Sequence[R], pod: Pod, container: str, fits: Callable[[R], bool] = lambda _rule: True) -> R:
        labels = pod.metadata.labels
        for number, rule in enumerate(rules):
            if (
                fits(rule)
                and all(labels.get(key) == text for key, text in rule.labels.items())
                and (not rule.containers or container in rule.containers or not container)
                and (rule.chance >= 1 or self.share(number, pod.metadata.uid) < rule.chance)
            ):
                return rule
        raise LookupError("the last rule of each list is for everything")


def filled(text: str, pod: Pod, container: str, **more: object) -> str:
    """`text` with names in braces replaced; other braces stay, so that JSON needs no care."""
    names = {
        "pod": pod.metadata.name, "namespace": pod.metadata.namespace, "node": pod.spec.node_name,
        "container": container, **more,
    }  # fmt: skip
    for name, found in names.items():
        text = text.replace(f"{{{name}}}", str(found))
    return text


def annotated(pod: Pod) -> tuple[int | None, int | None]:
    """(thousandths of a processor, bytes) by the pod's annotations; None where there is none, or nonsense."""
    found: list[int | None] = []
    for name, read in ((CPU_USAGE, milli), (MEMORY_USAGE, value)):
        text = pod.metadata.annotations.get(name)
        try:
            found.append(None if text is None else max(read(text), 0))
        except ValueError:
            found.append(None)
    return found[0], found[1]
