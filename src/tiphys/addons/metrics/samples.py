"""A page of resource metrics as samples, and two pages of one node as usage. Pure.

Source: metrics-server pkg/scraper/client/resource/decode.go, pkg/storage/{node,pod}.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_LINE = re.compile(r"^([a-z_]+)(?:\{([^}]*)\})? ([^ ]+)(?: (\d+))?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_MIN_S = 0.5
"""Two samples nearer than this say nothing about a rate."""

PodName = tuple[str, str]
"""(namespace, name)"""


@dataclass(slots=True)
class Point:
    """One node or container at one time."""

    time_s: float = 0.0
    cpu_s: float = -1.0
    memory_bytes: int = -1
    start_s: float = 0.0

    @property
    def complete(self) -> bool:
        return self.cpu_s >= 0 and self.memory_bytes >= 0


@dataclass(slots=True)
class Page:
    """Of one node."""

    node: Point = field(default_factory=Point)
    pods: dict[PodName, dict[str, Point]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Use:
    """Over `window_s`, up to `time_s`."""

    time_s: float
    window_s: float
    cpu_nano_cores: int
    memory_bytes: int


def read_page(text: str) -> Page:
    """Metrics of no interest are passed over, as are lines that make no sense."""
    page = Page()
    for line in text.splitlines():
        if not line.startswith(("node_", "container_")):
            continue
        match = _LINE.match(line)
        if match is None:
            continue
        name, labels_text, number, stamp = match.groups()
        try:
            value = float(number)
        except ValueError:
            continue
        point = page.node
        if name.startswith("container_"):
            labels = dict(_LABEL.findall(labels_text or ""))
            key = labels.get("namespace", ""), labels.get("pod", "")
            point = page.pods.setdefault(key, {}).setdefault(labels.get("container", ""), Point())
        if stamp:
            point.time_s = int(stamp) / 1000
        if name.endswith("_cpu_usage_seconds_total"):
            point.cpu_s = value
        elif name.endswith("_memory_working_set_bytes"):
            point.memory_bytes = int(value)
        elif name == "container_start_time_seconds":
            point.start_s = value
    return page


def use(before: Point | None, after: Point) -> Use | None:
    """None: not known yet. A container that (re)started since `before` is counted from its start."""
    if not after.complete:
        return None
    since_s, cpu_s = (before.time_s, before.cpu_s) if before is not None and before.complete else (0.0, 0.0)
    if after.start_s > since_s or after.cpu_s < cpu_s:
        since_s, cpu_s = after.start_s, 0.0
    window_s = after.time_s - since_s
    if not since_s or window_s < _MIN_S:
        return None
    return Use(after.time_s, window_s, int((after.cpu_s - cpu_s) / window_s * 1e9), after.memory_bytes)


def pod_uses(before: Page, after: Page) -> dict[PodName, dict[str, Use]]:
    """Pods all of whose containers are known; a pod with a part of them would look idle to an autoscaler."""
    found = {}
    for name, containers in after.pods.items():
        earlier = before.pods.get(name, {})
        uses = {container: use(earlier.get(container), point) for container, point in containers.items()}
        known = {container: entry for container, entry in uses.items() if entry is not None}
        if known and len(known) == len(uses):
            found[name] = known
    return found


def quantities(entry: Use) -> Mapping[str, str]:
    return {
        "cpu": f"{entry.cpu_nano_cores}n" if entry.cpu_nano_cores else "0",
        "memory": f"{-(-entry.memory_bytes // 1024)}Ki",
    }


def span(uses: Iterable[Use]) -> tuple[float, float]:
    """(time, window) of several containers together: the earliest end, the longest window."""
    listed = list(uses)
    return min(entry.time_s for entry in listed), max(entry.window_s for entry in listed)
