"""Create, update, patch: what is stored, what is refused and in which words."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from tiphys.api.errors import AlreadyExists, ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import (
    CONFIGMAP,
    DEPLOYMENT,
    EVENT,
    HORIZONTALPODAUTOSCALER_V1,
    LEASE,
    NAMESPACE,
    POD,
    SERVICEACCOUNT,
)
from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.api.meta.types import DeleteOptions, LabelSelector
from tiphys.apiserver.registry.interface import PatchRequest

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def config(name: str = "", **data: str):
    return new(CONFIGMAP, name, data=data)


def pod(name: str):
    made = new(POD, name)
    made.spec.containers = [Container(name="c", image="i")]
    return made


def deployment(name: str):
    made = new(DEPLOYMENT, name)
    made.spec.selector = LabelSelector(match_labels={"a": "b"})
    made.spec.template.metadata.labels = {"a": "b"}
    made.spec.template.spec.containers = [Container(name="c", image="i")]
    return made


def with_data(**data: str):
    def change(old):
        changed = copy_of(old)
        changed.data = data
        return changed

    return change


async def test_create_fills_in_what_is_the_servers(registry, opts) -> None:
    entry = await registry.create(CONFIGMAP, "default", config("a", x="1"), opts)
    meta = entry.obj.metadata
    assert (meta.namespace, meta.creation_timestamp, meta.generation) == ("default", "2026-01-01T00:00:00Z", 0)
    assert len(meta.uid) == 36
    assert meta.resource_version == str(entry.revision) == str(registry.revision)
    assert meta.managed_fields[0].manager == "tests"
    served = json.loads(entry.data)
    assert served["metadata"]["resourceVersion"] == str(entry.revision)
    assert list(served) == ["kind", "apiVersion", "metadata", "data"]
    assert (await registry.get(CONFIGMAP, "default", "a")) is entry


async def test_what_is_stored_has_no_version_in_it(registry, store, opts) -> None:
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    record = await store.get(b"/registry/configmaps/default/a")
    assert b"resourceVersion" not in record.value


async def test_names_are_generated(registry, opts) -> None:
    made = config()
    made.metadata.generate_name = "x" * 70 + "-"
    entry = await registry.create(CONFIGMAP, "default", made, opts)
    assert (len(entry.name), entry.name[:58]) == (63, "x" * 58)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m: setattr(m, "namespace", "other"), BadRequest, "does not match the namespace sent on the request"),
        (lambda m: setattr(m, "resource_version", "7"), ApiError, "should not be set on objects to be created"),
        (lambda m: setattr(m, "name", "A"), Invalid, r'ConfigMap "A" is invalid: metadata.name: Invalid value: "A"'),
        (lambda m: setattr(m, "name", ""), Invalid, "metadata.name: Required value: name or generateName is required"),
        (lambda m: m.labels.update({"-": "x"}), Invalid, "metadata.labels: Invalid value"),
    ],
)
async def test_create_refuses(registry, opts, change, error, message) -> None:
    made = config("a")
    change(made.metadata)
    with pytest.raises(error, match=message):
        await registry.create(CONFIGMAP, "default", made, opts)


async def test_a_name_is_given_once(registry, opts) -> None:
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    with pytest.raises(AlreadyExists, match=r'^configmaps "a" already exists$'):
        await registry.create(CONFIGMAP, "default", config("a"), opts)
    with pytest.raises(AlreadyExists):
        await registry.create(CONFIGMAP, "default", config("a"), replace(opts, dry_run=True))


async def test_a_dry_run_answers_as_if_it_had_been_stored(registry, opts) -> None:
    obj = new(HORIZONTALPODAUTOSCALER_V1, "h", "default")
    obj.spec.max_replicas = 3
    obj.spec.scale_target_ref.kind, obj.spec.scale_target_ref.name = "Deployment", "d"
    obj.spec.scale_target_ref.api_version = "apps/v1"
    obj.metadata.annotations = {"autoscaling.alpha.kubernetes.io/conditions": "nonsense"}
    entry = await registry.create(HORIZONTALPODAUTOSCALER_V1, "default", obj, replace(opts, dry_run=True))
    # What the stored version gives by default is seen, what it cannot hold is not.
    assert entry.obj.spec.target_cpu_utilization_percentage == 80
    assert (entry.obj.metadata.annotations, entry.obj.metadata.resource_version) == ({}, "")


async def test_dry_runs_leave_nothing(registry, opts) -> None:
    before = registry.revision
    entry = await registry.create(CONFIGMAP, "default", config("a"), replace(opts, dry_run=True))
    assert entry.obj.metadata.uid
    with pytest.raises(NotFound):
        await registry.get(CONFIGMAP, "default", "a")
    assert registry.revision == before


async def test_an_update_with_an_old_version_conflicts(registry, opts) -> None:
    first = await registry.create(CONFIGMAP, "default", config("a", x="1"), opts)
    await registry.update(CONFIGMAP, "default", "a", with_data(x="2"), opts)
    stale = copy_of(first.obj)
    stale.data = {"x": "3"}
    with pytest.raises(Conflict, match=rf'Operation cannot be fulfilled on configmaps "a": {MODIFIED}'):
        await registry.update(CONFIGMAP, "default", "a", lambda _: stale, opts)


async def test_of_two_replacements_of_one_version_one_wins(registry, opts) -> None:
    first = await registry.create(CONFIGMAP, "default", config("a", x="1"), opts)

    def replacement(value: str):
        made = copy_of(first.obj)
        made.data = {"x": value}
        return lambda _: made

    results = await asyncio.gather(
        *[registry.update(CONFIGMAP, "default", "a", replacement(value), opts) for value in "23456"],
        return_exceptions=True,
    )
    assert [type(result) for result in results].count(Conflict) == 4


async def test_updates_without_a_version_all_happen(registry, opts) -> None:
    await registry.create(CONFIGMAP, "default", config("a", count="0"), opts)

    def count_up(old):
        changed = copy_of(old)
        changed.metadata.resource_version = ""
        changed.data = {"count": str(int(old.data["count"]) + 1)}
        return changed

    await asyncio.gather(*[registry.update(CONFIGMAP, "default", "a", count_up, opts) for _ in range(20)])
    assert (await registry.get(CONFIGMAP, "default", "a")).obj.data == {"count": "20"}


async def test_writing_the_same_again_writes_nothing(registry, opts) -> None:
    entry = await registry.create(CONFIGMAP, "default", config("a", x="1"), opts)
    again, created = await registry.update(CONFIGMAP, "default", "a", copy_of, opts)
    assert (again, created) == (entry, False)
    assert registry.revision == entry.revision


async def test_the_body_names_the_object_of_the_path(registry, opts) -> None:
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    with pytest.raises(BadRequest, match=r"the name of the object \(b\) does not match the name on the URL \(a\)"):
        await registry.update(CONFIGMAP, "default", "a", lambda _: config("b"), opts)


async def test_another_uid_is_another_object(registry, opts) -> None:
    entry = await registry.create(CONFIGMAP, "default", config("a"), opts)
    other = copy_of(entry.obj)
    other.metadata.uid = "u"
    with pytest.raises(Conflict) as refused:
        await registry.update(CONFIGMAP, "default", "a", lambda _: other, opts)
    assert refused.value.message == (
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key: '
        "/registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in "
        f"precondition: u, UID in object meta: {entry.obj.metadata.uid}"
    )


async def test_update_creates_only_kinds_that_allow_it(registry, opts) -> None:
    with pytest.raises(NotFound, match=r'configmaps "a" not found'):
        await registry.update(CONFIGMAP, "default", "a", lambda _: config("a"), opts)
    lease = new(LEASE, "l")
    entry, created = await registry.update(LEASE, "default", "l", lambda _: lease, opts)
    assert created
    assert entry.obj.metadata.uid


async def test_generation_counts_what_is_neither_metadata_nor_status(registry, opts) -> None:
    entry = await registry.create(DEPLOYMENT, "default", deployment("d"), opts)
    assert entry.obj.metadata.generation == 1

    async def patched(body, subresource: str = "") -> int:
        request = PatchRequest("merge", body)
        return (await registry.patch(DEPLOYMENT, "default", "d", request, opts.on(subresource)))[
            0
        ].obj.metadata.generation

    assert await patched({"metadata": {"labels": {"x": "y"}}}) == 1
    assert await patched({"status": {"observedGeneration": 1}}, "status") == 1
    assert await patched({"spec": {"replicas": 3}}) == 2
    stored = (await registry.get(DEPLOYMENT, "default", "d")).obj
    assert (stored.status.observed_generation, stored.spec.replicas) == (1, 3)


async def test_annotations_count_for_deployments_alone(registry, opts) -> None:
    await registry.create(DEPLOYMENT, "default", deployment("d"), opts)
    await registry.create(POD, "default", pod("p"), opts)
    body = {"metadata": {"annotations": {"x": "y"}}}
    changed, _ = await registry.patch(DEPLOYMENT, "default", "d", PatchRequest("merge", body), opts)
    same, _ = await registry.patch(POD, "default", "p", PatchRequest("merge", body), opts)
    assert (changed.obj.metadata.generation, same.obj.metadata.generation) == (2, 1)
    noted = PatchRequest("merge", {"metadata": {"annotations": {"revision": "1"}}})
    entry, _ = await registry.patch(DEPLOYMENT, "default", "d", noted, opts.on("status"))
    assert (entry.obj.metadata.generation, entry.obj.metadata.annotations) == (2, {"x": "y", "revision": "1"})


async def test_events_expire(registry, opts, clock) -> None:
    event = new(EVENT, "e", "default", reason="Started")
    event.involved_object.namespace = "default"
    await registry.create(EVENT, "default", event, opts)
    gone = asyncio.get_running_loop().create_future()
    registry.cache_of(EVENT).subscribe(lambda kind, *_: gone.done() or gone.set_result(kind))
    await clock.advance(3599)
    assert not gone.done()
    await clock.advance(70)
    assert await asyncio.wait_for(gone, 5) == "DELETED"


async def test_status_and_spec_have_paths_of_their_own(registry, opts) -> None:
    await registry.create(POD, "default", pod("p"), opts)

    def run_and_move(old):
        changed = copy_of(old)
        changed.status.phase = "Running"
        changed.metadata.labels = {"by": "spec"}
        return changed

    entry, _ = await registry.update(POD, "default", "p", run_and_move, opts)
    assert (entry.obj.status.phase, entry.obj.metadata.labels) == ("Pending", {"by": "spec"})
    entry, _ = await registry.update(POD, "default", "p", run_and_move, opts.on("status"))
    assert entry.obj.status.phase == "Running"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("json", [{"op": "add", "path": "/data/y", "value": "2"}]),
        ("merge", {"data": {"y": "2"}}),
        ("strategic", {"data": {"y": "2"}}),
    ],
)
async def test_patches(registry, opts, kind, body) -> None:
    await registry.create(CONFIGMAP, "default", config("a", x="1"), opts)
    entry, created = await registry.patch(CONFIGMAP, "default", "a", PatchRequest(kind, body), opts)
    assert (entry.obj.data, created) == ({"x": "1", "y": "2"}, False)
    with pytest.raises(NotFound):
        await registry.patch(CONFIGMAP, "default", "b", PatchRequest(kind, body), opts)


async def test_patches_meet_without_losing_each_other(registry, opts) -> None:
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    await asyncio.gather(
        *[registry.patch(CONFIGMAP, "default", "a", PatchRequest("merge", {"data": {k: k}}), opts) for k in "abcdefgh"]
    )
    assert (await registry.get(CONFIGMAP, "default", "a")).obj.data == {key: key for key in "abcdefgh"}


async def test_apply_creates_conflicts_forces_and_rests(registry, opts) -> None:
    def applied(value: str):
        return {"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": value}}

    async def apply(manager: str, value: str, force: bool = False):
        request = PatchRequest("apply", applied(value), force)
        return await registry.patch(CONFIGMAP, "default", "a", request, replace(opts, field_manager=manager))

    entry, created = await apply("one", "1")
    assert (created, entry.obj.data, entry.name) == (True, {"x": "1"}, "a")
    again, created = await apply("one", "1")
    assert (again.revision, created) == (entry.revision, False)
    with pytest.raises(Conflict, match=r'conflict with "one": .data.x'):
        await apply("two", "2")
    entry, _ = await apply("two", "2", force=True)
    assert [owner.manager for owner in entry.obj.metadata.managed_fields] == ["two"]
    with pytest.raises(Invalid, match=r"fieldManager: Required value: is required for apply patch"):
        await apply("", "3")


async def test_applying_another_spelling_of_the_same_rests(registry, opts, clock) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "0.5"}}}]},
    }
    first, _ = await registry.patch(POD, "default", "p", PatchRequest("apply", body), opts)
    await clock.advance(10)
    second, _ = await registry.patch(POD, "default", "p", PatchRequest("apply", body), opts)
    assert second.revision == first.revision


async def test_the_last_finalizer_takes_the_object_along(registry, opts) -> None:
    made = config("a")
    made.metadata.finalizers = ["x.io/y"]
    await registry.create(CONFIGMAP, "default", made, opts)
    waiting = await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(), opts)
    assert not waiting.deleted
    assert waiting.entry.obj.metadata.deletion_grace_period_seconds == 0
    with pytest.raises(AlreadyExists, match=r'object is being deleted: configmaps "a" already exists'):
        await registry.create(CONFIGMAP, "default", config("a"), opts)
    add = PatchRequest("merge", {"metadata": {"finalizers": ["x.io/y", "x.io/z"]}})
    with pytest.raises(Invalid, match=r"no new finalizers can be added if the object is being deleted"):
        await registry.patch(CONFIGMAP, "default", "a", add, opts)
    await registry.patch(CONFIGMAP, "default", "a", PatchRequest("merge", {"metadata": {"finalizers": None}}), opts)
    assert registry.cache_of(CONFIGMAP).get("default", "a") is None


async def test_a_namespace_goes_when_finalized(registry, opts) -> None:
    await registry.create(NAMESPACE, "", new(NAMESPACE, "n"), opts)
    deletion = await registry.delete(NAMESPACE, "", "n", DeleteOptions(), opts)
    assert (deletion.deleted, deletion.show_object) == (False, True)
    assert deletion.entry.obj.status.phase == "Terminating"
    assert (await registry.delete(NAMESPACE, "", "n", DeleteOptions(), opts)).entry.revision == deletion.entry.revision

    def finalize(old):
        done = copy_of(old)
        done.spec.finalizers = []
        return done

    # Not through the front door: there, finalizers cannot be changed.
    await registry.update(NAMESPACE, "", "n", finalize, opts)
    assert registry.cache_of(NAMESPACE).get("", "n") is not None
    await registry.update(NAMESPACE, "", "n", finalize, opts.on("finalize"))
    assert registry.cache_of(NAMESPACE).get("", "n") is None


class Refusing:
    """Admission that changes what it admits and refuses what it validates."""

    async def admit(self, request) -> None:
        if request.obj is not None:
            request.obj.metadata.annotations["seen"] = request.operation

    async def validate(self, request) -> None:
        if request.name == "forbidden":
            raise Forbidden("no")


async def test_admission_changes_and_refuses(registry, opts) -> None:
    strict = replace(opts, admission=Refusing())
    entry = await registry.create(SERVICEACCOUNT, "default", new(SERVICEACCOUNT, "a"), strict)
    assert entry.obj.metadata.annotations == {"seen": "CREATE"}
    with pytest.raises(Forbidden):
        await registry.create(SERVICEACCOUNT, "default", new(SERVICEACCOUNT, "forbidden"), strict)
    await registry.create(SERVICEACCOUNT, "default", new(SERVICEACCOUNT, "forbidden"), opts)
    with pytest.raises(Forbidden):
        await registry.delete(SERVICEACCOUNT, "default", "forbidden", DeleteOptions(), strict)


@pytest.mark.parametrize(
    ("subresource", "change"),
    [
        ("ephemeralcontainers", {"ephemeralContainers": [{"name": "look", "image": "i", "env": []}]}),
        ("resize", {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}),
    ],
)
async def test_parts_of_a_pod_that_only_their_paths_change(registry, opts, subresource, change) -> None:
    made = pod("p")
    made.spec.containers[0].resources = ResourceRequirements(
        limits={"cpu": Quantity("1")}, requests={"cpu": Quantity("100m")}
    )
    await registry.create(POD, "default", made, opts)
    request = PatchRequest("strategic", {"spec": change})
    with pytest.raises(Invalid, match="pod updates may not change fields other than"):
        await registry.patch(POD, "default", "p", request, opts)
    entry, _ = await registry.patch(POD, "default", "p", request, replace(opts, subresource=subresource))
    spec = entry.obj.spec
    assert [c.name for c in spec.ephemeral_containers] == (["look"] if "ephemeral" in subresource else [])
    assert spec.containers[0].resources.limits["cpu"] == ("1" if "ephemeral" in subresource else "2")


async def test_scale(registry, opts) -> None:
    await registry.create(DEPLOYMENT, "default", deployment("d"), opts)
    scale = await registry.get_scale(DEPLOYMENT, "default", "d")
    assert (scale.spec.replicas, scale.status.selector) == (1, "a=b")
    scale.spec.replicas = 4
    assert (await registry.update_scale(DEPLOYMENT, "default", "d", scale, opts)).spec.replicas == 4
    stale = copy_of(scale)
    with pytest.raises(Conflict):
        await registry.update_scale(DEPLOYMENT, "default", "d", stale, opts)
    patched = await registry.patch_scale(
        DEPLOYMENT, "default", "d", PatchRequest("merge", {"spec": {"replicas": 2}}), opts
    )
    assert patched.spec.replicas == 2
    assert (await registry.get(DEPLOYMENT, "default", "d")).obj.metadata.generation == 3
    with pytest.raises(Invalid, match=r"spec.replicas: Invalid value: -1: must be greater than or equal to 0"):
        await registry.patch_scale(DEPLOYMENT, "default", "d", PatchRequest("merge", {"spec": {"replicas": -1}}), opts)


async def test_the_server_itself_writes_past_strategy_and_managers(registry, opts) -> None:
    made = await registry.create(POD, "default", pod("p"), opts)
    before = json.loads(made.data)

    def on_node(old):
        return replace(old, metadata=replace(old.metadata), spec=replace(old.spec, node_name="n"))

    dry = await registry.rewrite(POD, "default", "p", on_node, dry_run=True)
    assert (dry, registry.revision) == (made, made.revision)
    with pytest.raises(Conflict):
        await registry.rewrite(POD, "default", "p", on_node, uid="another")
    with pytest.raises(NotFound):
        await registry.rewrite(POD, "default", "q", on_node)
    entry = await registry.rewrite(POD, "default", "p", on_node, uid=made.obj.metadata.uid)
    after = json.loads(entry.data)
    assert (made.obj.spec.node_name, entry.obj.spec.node_name) == ("", "n")
    assert int(after["metadata"].pop("resourceVersion")) > int(before["metadata"].pop("resourceVersion"))
    assert after["metadata"] == before["metadata"]


async def test_two_rewrites_at_once_both_count(registry, opts) -> None:
    await registry.create(CONFIGMAP, "default", config("a"), opts)

    def add(key: str):
        return lambda old: replace(old, metadata=replace(old.metadata), data=old.data | {key: "1"})

    await asyncio.gather(*(registry.rewrite(CONFIGMAP, "default", "a", add(key)) for key in "abc"))
    found = await registry.get(CONFIGMAP, "default", "a")
    assert found.obj.data == dict.fromkeys("abc", "1")
