"""managedFields on create, update and patch."""

from tiphys.api.apply import update_managed
from tiphys.api.kinds.apps.deployment import Deployment
from tiphys.api.meta.schema import FieldsV1, copy_of
from tiphys.api.meta.types import ManagedFieldsEntry

_T1, _T2 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"


def _written(
    old: Deployment | None, new: Deployment, manager: str, now: str = _T1, subresource: str = ""
) -> Deployment:
    new.metadata.managed_fields = update_managed(old, new, manager, "Update", "apps/v1", now, subresource)
    return new


def _created() -> Deployment:
    obj = Deployment(kind="Deployment", api_version="apps/v1")
    obj.metadata.name, obj.metadata.uid, obj.metadata.labels = "web", "u", {"a": "b"}
    obj.spec.replicas = 2
    obj.status.replicas = 9
    return _written(None, obj, "kubectl-create")


def _changed(old: Deployment, replicas: int) -> Deployment:
    new = copy_of(old)
    new.spec.replicas = replicas
    return new


def test_create_owns_what_is_set_but_not_identity_nor_status() -> None:
    (entry,) = _created().metadata.managed_fields
    assert (entry.manager, entry.operation, entry.api_version, entry.time) == (
        "kubectl-create",
        "Update",
        "apps/v1",
        _T1,
    )
    assert entry.fields_v1.fields == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:replicas": {}}}


def test_objects_of_one_template_own_what_each_sets() -> None:
    first, second, third = _created(), _created(), _created()
    second.metadata.name, second.metadata.labels = "other", {"c": "d"}
    third.spec.paused = True
    for obj in (first, second, third):
        obj.metadata.managed_fields = []
    owned = [
        _written(None, obj, "kubectl-create").metadata.managed_fields[0].fields_v1.fields
        for obj in (first, second, third)
    ]
    assert [fields["f:metadata"]["f:labels"] for fields in owned if fields] == [
        {".": {}, "f:a": {}},
        {".": {}, "f:c": {}},
        {".": {}, "f:a": {}},
    ]
    assert [sorted(fields["f:spec"]) for fields in owned if fields] == [
        ["f:replicas"],
        ["f:replicas"],
        ["f:paused", "f:replicas"],
    ]


def test_a_change_moves_ownership() -> None:
    old = _created()
    entries = _written(old, _changed(old, 5), "kubectl-edit", _T2).metadata.managed_fields
    assert [(e.manager, e.time, e.fields_v1.fields) for e in entries] == [
        ("kubectl-create", _T1, {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}),
        ("kubectl-edit", _T2, {"f:spec": {"f:replicas": {}}}),
    ]
    assert old == _created()


def test_no_change_keeps_entries_and_times() -> None:
    old = _created()
    new = copy_of(old)
    new.metadata.resource_version, new.metadata.generation = "8", 3
    assert _written(old, new, "someone", _T2).metadata.managed_fields == old.metadata.managed_fields


def test_removed_fields_lose_their_owner() -> None:
    old = _created()
    new = copy_of(old)
    new.metadata.labels = {}
    new.spec.replicas = None
    assert _written(old, new, "someone", _T2).metadata.managed_fields == []


def test_status_is_its_own_manager() -> None:
    old = _created()
    new = copy_of(old)
    new.status.replicas = 3
    new.spec.replicas = 7
    entries = _written(old, new, "controller", _T2, "status").metadata.managed_fields
    assert [(e.manager, e.subresource, e.fields_v1.fields) for e in entries][1] == (
        "controller",
        "status",
        {"f:status": {"f:replicas": {}}},
    )


def test_entries_from_the_client_count_and_an_empty_one_forgets_all() -> None:
    old = _created()
    new = _changed(old, 5)
    new.metadata.managed_fields[0].manager = "renamed"
    assert {e.manager for e in _written(old, new, "x", _T2).metadata.managed_fields} == {"renamed", "x"}
    reset = copy_of(old)
    reset.metadata.managed_fields = [ManagedFieldsEntry()]
    forgotten = _written(old, reset, "x", _T2)
    assert forgotten.metadata.managed_fields == []
    assert _written(forgotten, _changed(forgotten, 6), "x", _T2).metadata.managed_fields == []


def test_malformed_entries_are_replaced_by_the_stored_ones() -> None:
    old = _created()
    new = copy_of(old)
    new.metadata.managed_fields[0].fields_v1 = FieldsV1.of({"nonsense": 1})
    assert _written(old, new, "x", _T2).metadata.managed_fields == old.metadata.managed_fields


def test_more_than_ten_updaters_melt_into_one() -> None:
    obj = _created()
    for number in range(15):
        new = copy_of(obj)
        new.metadata.labels[f"l{number}"] = "x"
        obj = _written(obj, new, f"m{number:02}", f"2026-01-01T00:01:{number:02}Z")
    names = [entry.manager for entry in obj.metadata.managed_fields]
    assert len(names) == 10
    assert names[0] == "ancient-changes"
    assert names[-1] == "m14"
    oldest = obj.metadata.managed_fields[0].fields_v1.fields
    assert oldest is not None
    assert {"f:a", "f:l0", "f:l1"} <= oldest["f:metadata"]["f:labels"].keys()


def test_writes_alike_move_managers_alike_and_share_their_sets() -> None:
    """What each write does is worked out once for a template; times stay each object's own."""
    late = "2026-01-01T00:01:00Z"
    first = _written(_created(), _changed(_created(), 3), "scaler", _T2).metadata.managed_fields
    other = _written(_created(), _changed(_created(), 7), "scaler", late).metadata.managed_fields
    assert [(entry.manager, entry.time) for entry in first] == [("kubectl-create", _T1), ("scaler", _T2)]
    assert [(entry.manager, entry.time) for entry in other] == [("kubectl-create", _T1), ("scaler", late)]
    assert [entry.fields_v1.fields for entry in first] == [
        {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}},
        {"f:spec": {"f:replicas": {}}},
    ]
    assert all(mine.fields_v1 is theirs.fields_v1 for mine, theirs in zip(first, other, strict=True))


def test_a_manager_that_only_removes_keeps_its_time() -> None:
    for now in (_T2, "2026-01-01T00:01:00Z"):
        old = _created()
        new = copy_of(old)
        new.metadata.labels = {}
        (entry,) = _written(old, new, "kubectl-create", now).metadata.managed_fields
        assert (entry.time, entry.fields_v1.fields) == (_T1, {"f:spec": {"f:replicas": {}}})
