"""StorageClass. Source: staging/src/k8s.io/api/storage/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE
from tiphys.api.kinds.core.references import TopologySelectorTerm
from tiphys.api.kinds.storage.checks import validate_parameters, validate_provisioner
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import field, proto
from tiphys.api.meta.validation import each, immutable


class StorageClass(Resource):
    """A named sort of storage, and who makes volumes of it."""

    provisioner: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    parameters: Annotated[dict[str, str], proto(3)] = {}
    reclaim_policy: Annotated[str | None, proto(4)] = None
    mount_options: Annotated[list[str], proto(5, list_type="atomic")] = []
    allow_volume_expansion: Annotated[bool | None, proto(6)] = None
    volume_binding_mode: Annotated[str | None, proto(7)] = None
    allowed_topologies: Annotated[list[TopologySelectorTerm], proto(8, list_type="atomic")] = []


DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
_OLD_DEFAULT_ANNOTATION = "storageclass.beta.kubernetes.io/is-default-class"
RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


def _default(obj: StorageClass) -> None:
    obj.reclaim_policy = "Delete" if obj.reclaim_policy is None else obj.reclaim_policy
    obj.volume_binding_mode = "Immediate" if obj.volume_binding_mode is None else obj.volume_binding_mode


def _validate(obj: StorageClass, old: StorageClass | None) -> Iterator[FieldError]:
    if old is not None:
        yield from immutable("parameters", obj.parameters or None, old.parameters or None)
        yield from immutable("provisioner", obj.provisioner, old.provisioner)
        yield from immutable("reclaimPolicy", obj.reclaim_policy, old.reclaim_policy)
        yield from immutable("volumeBindingMode", obj.volume_binding_mode, old.volume_binding_mode)
        return
    yield from validate_provisioner("provisioner", obj.provisioner)
    yield from validate_parameters("parameters", obj.parameters)
    if obj.reclaim_policy and obj.reclaim_policy not in RECLAIM_POLICIES:
        yield not_supported("reclaimPolicy", obj.reclaim_policy, RECLAIM_POLICIES)
    if obj.volume_binding_mode is None:
        yield required("volumeBindingMode")
    elif obj.volume_binding_mode not in BINDING_MODES:
        yield not_supported("volumeBindingMode", obj.volume_binding_mode, BINDING_MODES)
    seen: list[dict[str, set[str]]] = []
    for index, term in enumerate(obj.allowed_topologies):
        yield from _validate_term(term, f"allowedTopologies[{index}].matchLabelExpressions")
        places = {each.key: set(each.values) for each in term.match_label_expressions}
        if places in seen:
            yield duplicate(f"allowedTopologies[{index}].matchLabelExpressions", "")
        seen.append(places)


def _validate_term(term: TopologySelectorTerm, path: str) -> Iterator[FieldError]:
    keys: set[str] = set()
    for index, expression in enumerate(term.match_label_expressions):
        at = f"{path}[{index}]"
        if not expression.values:
            yield required(f"{at}.values")
        for place, value in enumerate(expression.values):
            if value in expression.values[:place]:
                yield duplicate(f"{at}.values[{place}]", value)
        yield from each(f"{at}.key", expression.key, names.label_key(expression.key))
        if expression.key in keys:
            yield duplicate(f"{at}.key", expression.key)
        keys.add(expression.key)


def is_default(obj: StorageClass) -> bool:
    """Whether claims without a class get this one."""
    notes = obj.metadata.annotations
    return "true" in (notes.get(DEFAULT_ANNOTATION), notes.get(_OLD_DEFAULT_ANNOTATION))


COLUMNS: tuple[Column[StorageClass], ...] = (
    Column(
        "Name",
        "string",
        lambda obj: obj.metadata.name + (" (default)" if is_default(obj) else ""),
        "The object's name.",
        format="name",
    ),
    Column("Provisioner", "string", lambda obj: obj.provisioner, "Who makes volumes of it."),
    Column("ReclaimPolicy", "string", lambda obj: obj.reclaim_policy or "Delete", "What becomes of volumes after use."),
    Column("VolumeBindingMode", "string", lambda obj: obj.volume_binding_mode or "Immediate", "When volumes are made."),
    Column("AllowVolumeExpansion", "string", lambda obj: bool(obj.allow_volume_expansion), "Whether volumes may grow."),
    AGE,
)


STORAGECLASS = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    schema=StorageClass,
    default=_default,
    validate=_validate,
    columns=COLUMNS,
    namespaced=False,
    short_names=("sc",),
)
