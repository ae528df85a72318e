"""Server-side apply: merge, conflicts, force, removal."""

import json
from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.apply import apply, update_managed
from tiphys.api.apply.serverside import LAST_APPLIED, Applied
from tiphys.api.errors import BadRequest, Conflict, Malformed
from tiphys.api.kinds import DEPLOYMENT
from tiphys.api.kinds.apps.deployment import Deployment
from tiphys.api.meta.types import ManagedFieldsEntry

_T1, _T2 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"


def _config(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def _containers(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": "i"} for name in names]}}


def _apply(before: Applied | None, config: Any, manager: str = "me", *, force: bool = False) -> Applied:
    live, entries = (before.value, before.managed) if before else (None, [])
    return apply(DEPLOYMENT, live, entries, config, manager=manager, force=force, now_text=_T2)


def _live(
    manager: str = "kubectl-client-side-apply", annotations: dict[str, str] | None = None, **spec: Any
) -> Applied:
    obj = codec.from_json(Deployment, _config(**spec))
    obj.metadata.uid = "u"
    obj.metadata.annotations = annotations or {}
    entries = update_managed(None, obj, manager, "Update", "apps/v1", _T1)
    return Applied(codec.to_json(obj), entries, True)


def _names(applied: Applied) -> list[str]:
    return [item["name"] for item in applied.value["spec"]["template"]["spec"]["containers"]]


def test_creation_owns_the_configuration() -> None:
    made = _apply(None, _config(replicas=1))
    assert made.changed
    assert made.value["metadata"] == {"name": "web"}
    (entry,) = made.managed
    assert (entry.manager, entry.operation, entry.time, entry.fields_v1.fields) == (
        "me", "Apply", _T2, {"f:spec": {"f:replicas": {}}},
    )  # fmt: skip


def test_applying_again_changes_nothing() -> None:
    made = _apply(None, _config(replicas=1, template=_containers("a")))
    again = _apply(made, _config(replicas=1, template=_containers("a")))
    assert (again.changed, again.value, again.managed) == (False, made.value, made.managed)


def test_a_field_of_another_manager_conflicts_by_name() -> None:
    with pytest.raises(Conflict) as error:
        _apply(_live(replicas=2), _config(replicas=3))
    assert error.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    (cause,) = error.value.causes
    assert (cause.reason, cause.message, cause.field) == (
        "FieldManagerConflict",
        'conflict with "kubectl-client-side-apply" using apps/v1',
        ".spec.replicas",
    )


def test_many_conflicts_are_listed_by_manager() -> None:
    with pytest.raises(Conflict) as error:
        _apply(_live(replicas=2, paused=True), _config(replicas=3, paused=False))
    assert error.value.message == (
        'Apply failed with 2 conflicts: conflicts with "kubectl-client-side-apply" using apps/v1:\n'
        "- .spec.paused\n- .spec.replicas"
    )


def test_the_same_value_is_shared_without_conflict() -> None:
    shared = _apply(_live(replicas=2), _config(replicas=2))
    assert not shared.changed
    assert [(e.manager, e.time) for e in shared.managed] == [("me", None), ("kubectl-client-side-apply", _T1)]


def test_force_takes_over() -> None:
    taken = _apply(_live(replicas=2, paused=True), _config(replicas=3), force=True)
    assert taken.value["spec"]["replicas"] == 3
    assert [e.fields_v1.fields for e in taken.managed] == [{"f:spec": {"f:replicas": {}}}, {"f:spec": {"f:paused": {}}}]


def test_what_is_no_longer_applied_is_removed_unless_others_own_it() -> None:
    made = _apply(None, _config(replicas=1, paused=True, template=_containers("a", "b")))
    made = _apply(made, _config(paused=True), manager="other")
    made = _apply(made, _config(template=_containers("b")))
    assert _names(made) == ["b"]
    assert "replicas" not in made.value["spec"]
    assert made.value["spec"]["paused"] is True


def test_an_untracked_object_belongs_to_before_first_apply() -> None:
    live = Applied(_live(replicas=2).value, [], True)
    with pytest.raises(Conflict, match=r'conflict with "before-first-apply" using apps/v1: \.spec\.replicas'):
        _apply(live, _config(replicas=3))


def test_kubectl_takes_over_what_its_own_annotation_set() -> None:
    last = json.dumps(_config(replicas=2))
    live = _live(annotations={LAST_APPLIED: last}, replicas=2)
    taken = _apply(live, _config(replicas=3), manager="kubectl")
    assert taken.value["spec"]["replicas"] == 3
    assert json.loads(taken.value["metadata"]["annotations"][LAST_APPLIED])["spec"] == {"replicas": 3}
    changed_since = _live(annotations={LAST_APPLIED: json.dumps(_config(replicas=1))}, replicas=2)
    with pytest.raises(Conflict):
        _apply(changed_since, _config(replicas=3), manager="kubectl")


def test_annotations_may_be_null() -> None:
    config = _config(replicas=2)
    config["metadata"]["annotations"] = None
    assert _apply(_live(replicas=2), config, manager="kubectl", force=True).value["spec"]["replicas"] == 2


def test_the_annotation_is_written_as_kubectl_writes_it() -> None:
    config = _config(replicas=2)
    config["metadata"]["annotations"] = {"note": "<a & b>"}
    live = _live(annotations={LAST_APPLIED: json.dumps(config)}, replicas=2)
    text = _apply(live, config, manager="kubectl").value["metadata"]["annotations"][LAST_APPLIED]
    assert r"\u003ca \u0026 b\u003e" in text


def test_what_does_not_fit_the_schema_is_refused_with_paths() -> None:
    start = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): "
    with pytest.raises(Malformed) as error:
        _apply(None, _config(foo=1))
    assert error.value.message == start + ".spec.foo: field not declared in schema"
    with pytest.raises(Malformed, match=r'duplicate entries for key \[name="a"\]'):
        _apply(None, _config(template=_containers("a", "a")))
    with pytest.raises(Malformed, match=r".spec.replicas: expected numeric \(int or float\), got string"):
        _apply(None, _config(replicas="3"))


def test_bad_requests() -> None:
    with pytest.raises(BadRequest, match="invalid object type: apps/v1, Kind=Pod"):
        _apply(None, {**_config(), "kind": "Pod"})
    with pytest.raises(BadRequest, match=r"metadata.managedFields must be nil"):
        _apply(None, {**_config(), "metadata": {"managedFields": []}})
    with pytest.raises(BadRequest):
        _apply(None, [])


def test_managers_of_other_versions_are_forgotten() -> None:
    live = _live(replicas=2)
    live.managed.append(
        ManagedFieldsEntry(manager="old", operation="Update", api_version="apps/v1beta1", fields_type="FieldsV1")
    )
    assert [e.manager for e in _apply(live, _config(paused=True)).managed] == ["me", "kubectl-client-side-apply"]
