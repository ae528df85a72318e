"""Metadata types that every group uses. Source: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go."""

from typing import Annotated

from tiphys.api.meta.schema import FieldsV1, Int32, Struct, Time, field, proto


class OwnerReference(Struct):
    """An object that this one depends on and is collected with."""

    api_version: Annotated[str, proto(5, required=True)] = field(default_factory=str)
    kind: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    uid: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    controller: Annotated[bool | None, proto(6)] = None
    block_owner_deletion: Annotated[bool | None, proto(7)] = None


class ManagedFieldsEntry(Struct):
    """Which fields one writer owns, through one verb and one subresource."""

    manager: Annotated[str, proto(1)] = ""
    operation: Annotated[str, proto(2)] = ""
    api_version: Annotated[str, proto(3)] = ""
    time: Annotated[Time | None, proto(4)] = None
    fields_type: Annotated[str, proto(6)] = ""
    fields_v1: Annotated[FieldsV1 | None, proto(7)] = None
    subresource: Annotated[str, proto(8)] = ""


class ObjectMeta(Struct):
    """What every object says of itself: name, labels, owners, finalizers, versions."""

    name: Annotated[str, proto(1)] = ""
    generate_name: Annotated[str, proto(2)] = ""
    namespace: Annotated[str, proto(3)] = ""
    self_link: Annotated[str, proto(4)] = ""
    uid: Annotated[str, proto(5)] = ""
    resource_version: Annotated[str, proto(6)] = ""
    generation: Annotated[int, proto(7)] = 0
    creation_timestamp: Annotated[Time | None, proto(8)] = None
    """CreationTimestamp is a timestamp: when the server stored the object for the first time."""
    deletion_timestamp: Annotated[Time | None, proto(9)] = None
    deletion_grace_period_seconds: Annotated[int | None, proto(10)] = None
    labels: Annotated[dict[str, str], proto(11)] = {}
    annotations: Annotated[dict[str, str], proto(12)] = {}
    owner_references: Annotated[
        list[OwnerReference], proto(13, merge_key="uid", list_type="map", list_map_keys=("uid",))
    ] = []
    finalizers: Annotated[list[str], proto(14, merge=True, list_type="set")] = []
    managed_fields: Annotated[list[ManagedFieldsEntry], proto(17, list_type="atomic")] = []


class ShardInfo(Struct):
    """Which part of a collection a sharded list holds."""

    selector: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class ListMeta(Struct):
    """What a list says of itself: its revision and how to go on."""

    self_link: Annotated[str, proto(1)] = ""
    resource_version: Annotated[str, proto(2)] = ""
    continue_: Annotated[str, proto(3)] = ""
    remaining_item_count: Annotated[int | None, proto(4)] = None
    shard_info: Annotated[ShardInfo | None, proto(5)] = None


class LabelSelectorRequirement(Struct):
    """One condition on one label."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    operator: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    values: Annotated[list[str], proto(3, list_type="atomic")] = []


class LabelSelector(Struct):
    """Conditions on labels, all of which must hold."""

    match_labels: Annotated[dict[str, str], proto(1)] = {}
    match_expressions: Annotated[list[LabelSelectorRequirement], proto(2, list_type="atomic")] = []


class Condition(Struct):
    """One aspect of an object's state, in the common shape."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    observed_generation: Annotated[int, proto(3)] = 0
    last_transition_time: Annotated[Time | None, proto(4, required=True)] = None
    reason: Annotated[str, proto(5, required=True)] = field(default_factory=str)
    message: Annotated[str, proto(6, required=True)] = field(default_factory=str)


class Preconditions(Struct):
    """What must be true of an object for it to be deleted."""

    uid: Annotated[str | None, proto(1)] = None
    resource_version: Annotated[str | None, proto(2)] = None


class DeleteOptions(Struct):
    """How an object is to be deleted: grace, propagation, preconditions."""

    kind: str = ""
    api_version: str = ""
    grace_period_seconds: Annotated[int | None, proto(1)] = None
    preconditions: Annotated[Preconditions | None, proto(2)] = None
    orphan_dependents: Annotated[bool | None, proto(3)] = None
    propagation_policy: Annotated[str | None, proto(4)] = None
    dry_run: Annotated[list[str], proto(5, list_type="atomic")] = []
    ignore_store_read_error_with_cluster_breaking_potential: Annotated[bool | None, proto(6)] = None


class StatusCause(Struct):
    """One reason of a refusal, with the field it is about."""

    reason: Annotated[str, proto(1)] = ""
    message: Annotated[str, proto(2)] = ""
    field: Annotated[str, proto(3)] = ""


class StatusDetails(Struct):
    """Which object a refusal is about, and why."""

    name: Annotated[str, proto(1)] = ""
    group: Annotated[str, proto(2)] = ""
    kind: Annotated[str, proto(3)] = ""
    uid: Annotated[str, proto(6)] = ""
    causes: Annotated[list[StatusCause], proto(4, list_type="atomic")] = []
    retry_after_seconds: Annotated[Int32, proto(5)] = 0


class Status(Struct):
    """The answer of a request that returns no object; every refusal is one."""

    kind: str = field(default_factory=str)
    api_version: str = field(default_factory=str)
    metadata: Annotated[ListMeta, proto(1)] = field(default_factory=ListMeta)
    status: Annotated[str, proto(2)] = ""
    message: Annotated[str, proto(3)] = ""
    reason: Annotated[str, proto(4)] = ""
    details: Annotated[StatusDetails | None, proto(5)] = None
    code: Annotated[Int32, proto(6)] = 0


class GroupResource(Struct):
    """A resource without its version: `deployments` of `apps`."""

    group: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    resource: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class FieldSelectorRequirement(Struct):
    """One condition on one field."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    operator: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    values: Annotated[list[str], proto(3, list_type="atomic")] = []
