"""One event in its two versions."""

from __future__ import annotations

from tiphys.api import codec
from tiphys.api.kinds.core.event import Event as CoreEvent
from tiphys.api.kinds.events.event import from_core, to_core

BODY = {
    "kind": "Event",
    "apiVersion": "v1",
    "metadata": {"name": "e", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "name": "web"},
    "reason": "Killing",
    "message": "Stopping",
    "source": {"component": "kubelet"},
    "firstTimestamp": "2026-01-02T03:04:05Z",
    "lastTimestamp": "2026-01-02T03:04:05Z",
    "count": 3,
    "type": "Normal",
    "eventTime": "2026-01-02T03:04:05.000000Z",
    "series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:05.000000Z"},
    "action": "Kill",
    "related": {"kind": "Node", "name": "n"},
    "reportingComponent": "kubelet",
    "reportingInstance": "n",
}


def test_there_and_back() -> None:
    event = codec.from_json(CoreEvent, BODY)
    newer = from_core(event)
    assert (newer.note, newer.regarding.name, newer.deprecated_count) == ("Stopping", "web", 3)
    assert to_core(newer) == event
