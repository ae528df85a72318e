"""Keeps as many pods alive as a ReplicationController asks for.

Woken by: replication controllers; pods that one controls, and orphans that one could adopt. Writes: pods (create,
delete, owner references), the controller's status. Races: as for replica sets, whose `World`, `read` and `plan`
(`_replicas.py`) serve here too.
Source: pkg/controller/replication/replication_controller.go.
"""

from __future__ import annotations

from tiphys.api.kinds import POD, REPLICATIONCONTROLLER
from tiphys.controllers._pods import ORPHANS, by_selector
from tiphys.controllers._replicas import keys_of_pod, plan, reader
from tiphys.controllers._spec import ControllerSpec, Watch

SPEC = ControllerSpec(
    name="replicationcontroller-controller",
    alias="replicationcontroller",
    component="replication-controller",
    primary=REPLICATIONCONTROLLER,
    read=reader(REPLICATIONCONTROLLER),
    plan=plan,
    watches=(Watch(POD, keys_of_pod(REPLICATIONCONTROLLER)),),
    indexes=(ORPHANS, by_selector(REPLICATIONCONTROLLER)),
    workers=5,
)
