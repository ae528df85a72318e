"""Delete: grace, finalizers, preconditions, collections."""

import pytest
from msgspec.structs import replace

from tiphys.api.errors import Conflict, Invalid, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, POD
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import DeleteOptions, Preconditions
from tiphys.apiserver.registry.interface import ListOptions


async def running_pod(registry, opts, name: str = "p"):
    made = new(POD, name)
    made.spec.containers = [Container(name="c", image="i")]
    made.spec.node_name = "n1"
    return await registry.create(POD, "default", made, opts)


async def config(registry, opts, name: str = "a", **labels: str):
    made = new(CONFIGMAP, name)
    made.metadata.labels = labels
    return await registry.create(CONFIGMAP, "default", made, opts)


async def test_gone_at_once_is_answered_by_a_status(registry, opts) -> None:
    await config(registry, opts)
    done = await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(), opts)
    assert (done.deleted, done.show_object, done.entry.revision) == (True, False, registry.revision)
    with pytest.raises(NotFound, match=r'configmaps "a" not found'):
        await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(), opts)


async def test_a_pod_that_runs_has_its_grace(registry, opts, clock) -> None:
    await running_pod(registry, opts)
    done = await registry.delete(POD, "default", "p", DeleteOptions(), opts)
    meta = done.entry.obj.metadata
    assert not done.deleted
    assert (meta.deletion_timestamp, meta.deletion_grace_period_seconds) == ("2026-01-01T00:00:30Z", 30)
    assert meta.generation == 2
    # Asking again changes nothing; a longer grace neither; a shorter one counts from the first request.
    for seconds in (None, 60):
        again = await registry.delete(POD, "default", "p", DeleteOptions(grace_period_seconds=seconds), opts)
        assert again.entry.revision == done.entry.revision
    await clock.advance(4)
    shorter = await registry.delete(POD, "default", "p", DeleteOptions(grace_period_seconds=10), opts)
    assert shorter.entry.obj.metadata.deletion_timestamp == "2026-01-01T00:00:10Z"
    await clock.advance(10)
    over = await registry.delete(POD, "default", "p", DeleteOptions(grace_period_seconds=5), opts)
    assert over.entry.obj.metadata.deletion_grace_period_seconds == 1
    assert (await registry.delete(POD, "default", "p", DeleteOptions(grace_period_seconds=0), opts)).deleted


async def test_a_pod_on_no_node_goes_at_once_but_is_seen_going(registry, opts) -> None:
    made = new(POD, "p")
    made.spec.containers = [Container(name="c", image="i")]
    await registry.create(POD, "default", made, opts)
    seen = []
    registry.cache_of(POD).subscribe(lambda kind, new_entry, old_entry: seen.append(kind))
    done = await registry.delete(POD, "default", "p", DeleteOptions(), opts)
    assert done.deleted
    assert seen == ["MODIFIED", "DELETED"]


@pytest.mark.parametrize("make", [config, running_pod])
async def test_asking_again_writes_nothing_while_a_finalizer_waits(registry, opts, clock, make) -> None:
    held = copy_of((await make(registry, opts)).obj)
    held.metadata.finalizers = ["example.com/wait"]
    kind = CONFIGMAP if make is config else POD
    await registry.update(kind, "default", held.metadata.name, lambda _: held, opts)
    now = DeleteOptions(grace_period_seconds=0)
    first = await registry.delete(kind, "default", held.metadata.name, now, opts)
    assert not first.deleted
    await clock.advance(5)
    again = await registry.delete(kind, "default", held.metadata.name, now, opts)
    assert (again.deleted, again.entry.revision) == (False, first.entry.revision)


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)],
)
async def test_propagation_becomes_a_finalizer(registry, opts, policy, finalizers) -> None:
    await config(registry, opts)
    done = await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(propagation_policy=policy), opts)
    assert done.deleted == (finalizers is None)
    if finalizers:
        assert done.entry.obj.metadata.finalizers == finalizers
        assert done.entry.obj.metadata.deletion_timestamp


async def test_preconditions(registry, opts) -> None:
    entry = await config(registry, opts)
    with pytest.raises(Conflict, match=r"the UID in the precondition \(u\) does not match the UID in record"):
        await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(preconditions=Preconditions(uid="u")), opts)
    old = DeleteOptions(preconditions=Preconditions(resource_version="1"))
    with pytest.raises(Conflict, match=r"the ResourceVersion in the precondition \(1\) does not match"):
        await registry.delete(CONFIGMAP, "default", "a", old, opts)
    right = Preconditions(uid=entry.obj.metadata.uid, resource_version=str(entry.revision))
    assert (await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(preconditions=right), opts)).deleted


async def test_options_that_exclude_each_other(registry, opts) -> None:
    options = DeleteOptions(orphan_dependents=True, propagation_policy="Orphan")
    with pytest.raises(Invalid, match=r"orphanDependents and deletionPropagation cannot be both set"):
        await registry.delete(CONFIGMAP, "default", "a", options, opts)


async def test_a_dry_run_deletes_nothing(registry, opts) -> None:
    await running_pod(registry, opts)
    before = registry.revision
    done = await registry.delete(POD, "default", "p", DeleteOptions(), replace(opts, dry_run=True))
    assert done.entry.obj.metadata.deletion_timestamp
    assert registry.revision == before


async def test_a_collection_is_what_was_selected(registry, opts) -> None:
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        await config(registry, opts, name, app=app)
    gone = await registry.delete_collection(
        CONFIGMAP, "default", ListOptions(label_selector="app=x"), DeleteOptions(), opts
    )
    assert [entry.name for entry in gone.entries] == ["a", "c"]
    assert [entry.name for entry in registry.cache_of(CONFIGMAP).entries()] == ["b"]


async def test_options_are_not_changed_for_the_next(registry, opts) -> None:
    options = DeleteOptions()
    await running_pod(registry, opts)
    await registry.delete(POD, "default", "p", options, opts)
    assert options == DeleteOptions()


async def test_cached_objects_are_never_changed(registry, opts) -> None:
    entry = await running_pod(registry, opts)
    before = copy_of(entry.obj)
    await registry.delete(POD, "default", "p", DeleteOptions(), opts)
    assert entry.obj == before


async def test_somebody_else_finishes_what_was_begun(registry, opts, monkeypatch) -> None:
    """A controller that sees the mark may remove the pod before the one who marked it does."""
    made = new(POD, "p")
    made.spec.containers = [Container(name="c", image="i")]
    await registry.create(POD, "default", made, opts)
    storage = registry._deletes._storage
    remove = storage.remove

    async def too_late(entry):
        await remove(entry)

    monkeypatch.setattr(storage, "remove", too_late)
    done = await registry.delete(POD, "default", "p", DeleteOptions(), opts)
    assert done.deleted
    assert done.entry.obj.metadata.deletion_timestamp
    assert registry.cache_of(POD).get("default", "p") is None
