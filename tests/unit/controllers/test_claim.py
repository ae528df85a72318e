from __future__ import annotations

import pytest

from tiphys.api.kinds import POD, REPLICASET
from tiphys.api.labels import selector_of
from tiphys.controllers._actions import Alive
from tiphys.controllers._claims import claim

from . import objects

OWNER = objects.replica_set("web")


@pytest.mark.parametrize(
    ("owner", "app", "owned", "written"),
    [
        (OWNER, "web", True, False),
        (OWNER, "other", False, True),
        (None, "web", True, True),
        (None, "other", False, False),
        (objects.replica_set("else"), "web", False, False),
        (objects.replica_set("else"), "other", False, False),
    ],
)
def test_whose_a_pod_is(owner: object, app: str, owned: bool, written: bool) -> None:
    pod = objects.pod("p", owner=(REPLICASET, owner) if owner else None, app=app)
    pod.metadata.uid = "uid-p"
    result = claim(POD, REPLICASET, OWNER, selector_of(OWNER.spec.selector), [pod])
    assert (result.owned == (pod,)) is owned
    assert bool(result.actions) is written
    for action in result.actions:
        assert action.patch["metadata"]["uid"] == "uid-p"
        adopts = owner is None
        assert action.guards == ((Alive(REPLICASET, "web", "default", "uid-rs-web"),) if adopts else ())


def test_an_owner_that_ends_neither_adopts_nor_releases() -> None:
    ending = objects.replica_set("web")
    ending.metadata.deletion_timestamp = objects.NOW
    orphan, stranger = objects.pod("orphan"), objects.pod("stranger", owner=(REPLICASET, ending), app="other")
    assert claim(POD, REPLICASET, ending, selector_of(ending.spec.selector), [orphan, stranger]).actions == ()
