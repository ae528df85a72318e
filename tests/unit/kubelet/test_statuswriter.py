"""Statuses on their way to the API, and those that somebody else has changed there."""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodCondition, PodStatus
from tiphys.api.meta.schema import copy_of
from tiphys.kubelet.statuswriter import StatusWriter
from tiphys.testing.builders import pod
from tiphys.testing.clock import FakeClock
from tiphys.testing.memory_api import MemoryApi


class Api(MemoryApi):
    """Merges the conditions of a patch by type, and nothing else of it."""

    async def patch(self, kind: Kind[Any], name: str, body: Any, namespace: str = "", **_options: Any) -> Any:
        obj = copy_of(await self.get(kind, name, namespace))
        known = {condition.type: condition for condition in obj.status.conditions}
        for changed in body["status"].get("conditions", ()):
            condition = known.setdefault(changed["type"], PodCondition(type=changed["type"]))
            condition.status = changed["status"]
        obj.status.conditions = list(known.values())
        return await self.update(kind, obj, subresource="status")


def status(ready: str, **others: str) -> PodStatus:
    found = {"Ready": ready, **others}
    return PodStatus(phase="Running", conditions=[PodCondition(type=t, status=s) for t, s in found.items()])


def ready_of(obj: Pod) -> str:
    return next(c.status for c in obj.status.conditions if c.type == "Ready")


async def test_a_condition_that_somebody_changed_is_written_again() -> None:
    api = Api()
    writer = StatusWriter(api, FakeClock())
    made = await api.create(POD, pod("p"))
    writer.put(made, status("True"))
    assert await writer.flush(made.metadata.uid)
    written = await api.get(POD, "p", made.metadata.namespace)
    assert ready_of(written) == "True"
    assert not writer.overtaken(written), "that is what was written"

    changed = copy_of(written)
    changed.status.conditions[0].status = "False"
    changed = await api.update(POD, changed, subresource="status")
    assert writer.overtaken(changed)
    writer.put(changed, status("True"))
    assert await writer.flush(made.metadata.uid)
    assert ready_of(await api.get(POD, "p", made.metadata.namespace)) == "True"
    await writer.close()


async def test_conditions_of_others_and_old_news_are_left_alone() -> None:
    api = Api()
    writer = StatusWriter(api, FakeClock())
    made = await api.create(POD, pod("p"))
    writer.put(made, status("True"))
    await writer.flush(made.metadata.uid)
    assert not writer.overtaken(made), "from before our own write"
    foreign = copy_of(await api.get(POD, "p", made.metadata.namespace))
    foreign.status.conditions.append(PodCondition(type="example.com/gate", status="True"))
    foreign = await api.update(POD, foreign, subresource="status")
    assert not writer.overtaken(foreign)
    assert not writer.overtaken(pod("stranger"))
    await writer.close()
