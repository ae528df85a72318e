"""Keeps as many pods alive as a ReplicaSet asks for.

Woken by: replica sets; pods that one controls, and orphans that one could adopt. Writes: pods (create, delete, owner
references), the replica set's status.
Races: a second pod for the same gap is prevented by the runtime, which plans a key again only when the cache shows its
last writes; adoption looks at the live replica set; deletion names the UID. Pods are created in growing batches, so
that a full quota costs one refusal. What fails is shown in the condition ReplicaFailure.
`World`, `read` and `plan` are in `_replicas.py`: replication controllers have the same.
Source: pkg/controller/replicaset/replica_set.go, replica_set_utils.go.
"""

from __future__ import annotations

from tiphys.api.kinds import POD, REPLICASET
from tiphys.controllers._pods import ORPHANS, by_selector
from tiphys.controllers._replicas import keys_of_pod, plan, reader
from tiphys.controllers._spec import ControllerSpec, Watch
from tiphys.controllers._workload_measures import REPLICASET_SKIPS, SORTING, measure_replicas

SPEC = ControllerSpec(
    name="replicaset-controller",
    alias="replicaset",
    primary=REPLICASET,
    read=reader(REPLICASET),
    plan=plan,
    watches=(Watch(POD, keys_of_pod(REPLICASET)),),
    indexes=(ORPHANS, by_selector(REPLICASET)),
    workers=5,
    metrics=(SORTING,),
    measure=measure_replicas,
    stale_skips=REPLICASET_SKIPS,
)
