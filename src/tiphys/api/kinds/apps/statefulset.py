"""StatefulSet. Source: staging/src/k8s.io/api/apps/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import features, names
from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.apps.template import always_running, at_most_all, share_number, validate_share
from tiphys.api.kinds.columns import AGE, NAME, template_columns
from tiphys.api.kinds.core.claim_validation import validate_claim_spec
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.pod.validation import validate_template
from tiphys.api.kinds.core.pod.volumes import PersistentVolumeClaimVolumeSource, Volume
from tiphys.api.kinds.scaling import SCALE_AND_STATUS, scale_paths
from tiphys.api.labels import selector_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import each, non_negative, validate_selector
from tiphys.api.names import dns_label_name


class StatefulSetOrdinals(Struct):
    """From which number on pods are counted."""

    start: Annotated[Int32, proto(1)] = field(default_factory=int)


class StatefulSetPersistentVolumeClaimRetentionPolicy(Struct):
    """What becomes of claims when the set shrinks or goes."""

    when_deleted: Annotated[str, proto(1)] = ""
    when_scaled: Annotated[str, proto(2)] = ""


class RollingUpdateStatefulSetStrategy(Struct):
    """Which pods an update reaches, and how many at once."""

    partition: Annotated[Int32 | None, proto(1)] = None
    max_unavailable: Annotated[IntOrString | None, proto(2, gate="MaxUnavailableStatefulSet")] = None


class StatefulSetUpdateStrategy(Struct):
    """How old pods give way to new ones."""

    type: Annotated[str, proto(1)] = ""
    rolling_update: Annotated[RollingUpdateStatefulSetStrategy | None, proto(2)] = None


class StatefulSetSpec(Struct):
    """How many pods, of which template, with which claims, and in which order they change."""

    replicas: Annotated[Int32 | None, proto(1)] = None
    selector: Annotated[LabelSelector | None, proto(2, required=True, atomic=True)] = None
    template: Annotated[PodTemplateSpec, proto(3, required=True)] = field(default_factory=PodTemplateSpec)
    volume_claim_templates: Annotated[list[PersistentVolumeClaim], proto(4, list_type="atomic")] = []
    service_name: Annotated[str, proto(5)] = field(default_factory=str)
    pod_management_policy: Annotated[str, proto(6)] = ""
    update_strategy: Annotated[StatefulSetUpdateStrategy, proto(7)] = field(default_factory=StatefulSetUpdateStrategy)
    revision_history_limit: Annotated[Int32 | None, proto(8)] = None
    min_ready_seconds: Annotated[Int32, proto(9)] = 0
    persistent_volume_claim_retention_policy: Annotated[
        StatefulSetPersistentVolumeClaimRetentionPolicy | None, proto(10)
    ] = None
    ordinals: Annotated[StatefulSetOrdinals | None, proto(11)] = None


class StatefulSetCondition(Struct):
    """One aspect of a StatefulSet's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class StatefulSetStatus(Struct):
    """How many pods there are of the old and the new revision, and how they fare."""

    observed_generation: Annotated[int, proto(1)] = 0
    replicas: Annotated[Int32, proto(2, required=True)] = field(default_factory=int)
    ready_replicas: Annotated[Int32, proto(3)] = 0
    current_replicas: Annotated[Int32, proto(4)] = 0
    updated_replicas: Annotated[Int32, proto(5)] = 0
    current_revision: Annotated[str, proto(6)] = ""
    update_revision: Annotated[str, proto(7)] = ""
    collision_count: Annotated[Int32 | None, proto(9)] = None
    conditions: Annotated[
        list[StatefulSetCondition], proto(10, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []
    available_replicas: Annotated[Int32, proto(11)] = field(default_factory=int)


class StatefulSet(Resource):
    """Keeps numbered pods, each with a lasting name and storage of its own."""

    spec: Annotated[StatefulSetSpec, proto(2)] = field(default_factory=StatefulSetSpec)
    status: Annotated[StatefulSetStatus, proto(3)] = field(default_factory=StatefulSetStatus)


POLICIES, STRATEGIES = ("OrderedReady", "Parallel"), ("RollingUpdate", "OnDelete")
RETENTION = ("Retain", "Delete")
CHANGEABLE = (
    "replicas",
    "template",
    "update_strategy",
    "min_ready_seconds",
    "ordinals",
    "revision_history_limit",
    "persistent_volume_claim_retention_policy",
)
REVISIONS_KEPT = 10


def _default(obj: StatefulSet) -> None:
    spec, strategy = obj.spec, obj.spec.update_strategy
    spec.pod_management_policy = spec.pod_management_policy or "OrderedReady"
    if not strategy.type:
        strategy.type = "RollingUpdate"
        strategy.rolling_update = strategy.rolling_update or RollingUpdateStatefulSetStrategy()
    rolling = strategy.rolling_update
    if strategy.type == "RollingUpdate" and rolling is not None:
        rolling.partition = rolling.partition or 0
        if rolling.max_unavailable is None and features.enabled("MaxUnavailableStatefulSet"):
            rolling.max_unavailable = 1
    retention = spec.persistent_volume_claim_retention_policy or StatefulSetPersistentVolumeClaimRetentionPolicy()
    retention.when_deleted = retention.when_deleted or "Retain"
    retention.when_scaled = retention.when_scaled or "Retain"
    spec.persistent_volume_claim_retention_policy = retention
    if spec.replicas is None:
        spec.replicas = 1
    if spec.revision_history_limit is None:
        spec.revision_history_limit = REVISIONS_KEPT
    default_spec(spec.template.spec)
    for claim in spec.volume_claim_templates:
        claim.status.phase = claim.status.phase or "Pending"
        claim.spec.volume_mode = claim.spec.volume_mode or "Filesystem"
        claim.kind, claim.api_version = "PersistentVolumeClaim", "v1"


def _prepare(obj: StatefulSet, old: StatefulSet | None) -> None:
    obj.status = copy_of(old.status) if old is not None else StatefulSetStatus()


def _prepare_status(obj: StatefulSet, old: StatefulSet) -> None:
    obj.spec = copy_of(old.spec)


def _validate(obj: StatefulSet, old: StatefulSet | None) -> Iterator[FieldError]:
    spec = obj.spec
    yield from _validate_policies(spec)
    yield from non_negative("spec.replicas", spec.replicas or 0)
    yield from non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    if spec.ordinals is not None:
        yield from non_negative("spec.ordinals.start", spec.ordinals.start)
    if old is None and spec.service_name:
        yield from each("spec.serviceName", spec.service_name, names.dns_label(spec.service_name))
    yield from _validate_selector(spec)
    skips = old is not None and old.spec.template == spec.template
    yield from validate_template(_template_of_pods(spec), "spec.template") if not skips else ()
    yield from always_running(spec.template, "spec.template", "StatefulSet")
    for index, claim in enumerate(spec.volume_claim_templates if old is None else ()):
        yield from validate_claim_spec(claim.spec, f"spec.volumeClaimTemplates[{index}].spec")
    if old is not None:
        yield from _validate_change(spec, old.spec)


def _validate_policies(spec: StatefulSetSpec) -> Iterator[FieldError]:
    policy, strategy = spec.pod_management_policy, spec.update_strategy
    if not policy:
        yield required("spec.podManagementPolicy")
    elif policy not in POLICIES:
        yield invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    if not strategy.type:
        yield required("spec.updateStrategy")
    elif strategy.type not in STRATEGIES:
        yield invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'")
    elif strategy.rolling_update is not None and strategy.type == "OnDelete":
        path = "spec.updateStrategy.rollingUpdate"
        yield invalid(path, strategy.rolling_update, "only allowed for updateStrategy 'RollingUpdate'")
    elif strategy.rolling_update is not None:
        yield from _validate_rolling(strategy.rolling_update, "spec.updateStrategy.rollingUpdate")
    retention = spec.persistent_volume_claim_retention_policy
    if retention is not None:
        path = "spec.persistentVolumeClaimRetentionPolicy"
        for name, value in (("whenDeleted", retention.when_deleted), ("whenScaled", retention.when_scaled)):
            if value not in RETENTION:
                yield not_supported(f"{path}.{name}", value, RETENTION)


def _validate_rolling(rolling: RollingUpdateStatefulSetStrategy, path: str) -> Iterator[FieldError]:
    yield from non_negative(f"{path}.partition", rolling.partition or 0)
    if rolling.max_unavailable is not None:
        yield from validate_share(f"{path}.maxUnavailable", rolling.max_unavailable)
        if share_number(rolling.max_unavailable) == 0:
            yield invalid(f"{path}.maxUnavailable", rolling.max_unavailable, "cannot be 0")
        yield from at_most_all(f"{path}.maxUnavailable", rolling.max_unavailable)


def _validate_selector(spec: StatefulSetSpec) -> Iterator[FieldError]:
    selector = spec.selector
    if selector is None:
        yield required("spec.selector")
    else:
        yield from validate_selector(selector, "spec.selector")
        if not selector.match_labels and not selector.match_expressions:
            yield invalid("spec.selector", selector, "empty selector is invalid for statefulset")
    try:
        predicate = selector_of(selector)
    except ValueError:
        yield invalid("spec.selector", selector, "")
        return
    labels = spec.template.metadata.labels
    if (selector is None or predicate.requirements) and not predicate.matches(labels):
        path = "spec.template.metadata.labels"
        yield invalid(path, labels or None, "`selector` does not match template `labels`")


def _template_of_pods(spec: StatefulSetSpec) -> PodTemplateSpec:
    """The template with the volumes that its claims will give it, and without what the set decides itself."""
    template = copy_of(spec.template)
    template.spec.subdomain = template.spec.hostname = ""
    claims = [claim.metadata.name for claim in spec.volume_claim_templates]
    volumes = [
        Volume(name=name, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=name)) for name in claims
    ]
    template.spec.volumes = volumes + [volume for volume in template.spec.volumes if volume.name not in claims]
    return template


def _validate_change(spec: StatefulSetSpec, old: StatefulSetSpec) -> Iterator[FieldError]:
    kept = copy_of(spec)
    for name in CHANGEABLE:
        setattr(kept, name, getattr(old, name))
    if kept != old:
        why = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        yield forbidden("spec", why)


def _validate_status(obj: StatefulSet, old: StatefulSet | None) -> Iterator[FieldError]:
    status = obj.status
    counts = {
        "readyReplicas": status.ready_replicas,
        "currentReplicas": status.current_replicas,
        "updatedReplicas": status.updated_replicas,
        "availableReplicas": status.available_replicas,
    }
    collisions = status.collision_count or 0
    others = {"observedGeneration": status.observed_generation, "collisionCount": collisions}
    for name, count in {"replicas": status.replicas, **counts, **others}.items():
        yield from non_negative(f"status.{name}", count)
    for name, count in counts.items():
        if count > status.replicas:
            yield invalid(f"status.{name}", count, "cannot be greater than status.replicas")
    if status.available_replicas > status.ready_replicas:
        why = "cannot be greater than status.readyReplicas"
        yield invalid("status.availableReplicas", status.available_replicas, why)
    if old is not None and collisions < (old.status.collision_count or 0):
        yield invalid("status.collisionCount", collisions, "cannot be decremented")


COLUMNS: tuple[Column[StatefulSet], ...] = (
    NAME,
    Column("Ready", "string", lambda obj: f"{obj.status.ready_replicas}/{obj.spec.replicas or 0}", "Ready, of all."),
    AGE,
    *template_columns(lambda obj: obj.spec.template),
)


STATEFULSET = Kind(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    schema=StatefulSet,
    short_names=("sts",),
    categories=("all",),
    subresources=SCALE_AND_STATUS,
    scale=scale_paths(),
    generation=True,
    prepare=_prepare,
    default=_default,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    columns=COLUMNS,
    name_rule=dns_label_name,
)
