"""Which events a change of conditions makes."""

from __future__ import annotations

import pytest

from tiphys.api.kinds.core.node import NodeCondition
from tiphys.kubelet.node_events import reasons

FINE = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
CALM = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
CASES = [
    ("a new node", {}, {**FINE, "Ready": "False"}, CALM),
    ("it comes up", {**FINE, "Ready": "False"}, {**FINE, "Ready": "True"}, ["NodeReady"]),
    ("nothing new", FINE, FINE, []),
    (
        "it was lost and is back",
        dict.fromkeys([*FINE, "Ready"], "Unknown"),
        {**FINE, "Ready": "True"},
        [*CALM, "NodeReady"],
    ),
    ("memory runs out", FINE, {**FINE, "MemoryPressure": "True"}, ["NodeHasInsufficientMemory"]),
    ("conditions of others", {}, {"NetworkUnavailable": "False"}, []),
]


@pytest.mark.parametrize(("before", "after", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_reasons(before: dict[str, str], after: dict[str, str], expected: list[str]) -> None:
    def conditions(statuses: dict[str, str]) -> list[NodeCondition]:
        return [NodeCondition(type=kind, status=status) for kind, status in statuses.items()]

    assert reasons(conditions(before), conditions(after)) == expected
