"""etcd's v3 messages, as far as they are spoken here. Field numbers are facts of its API.

Members of a `oneof` are `X | None`: None does not travel. Source: etcd api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto.
"""

from typing import Annotated

from tiphys.api.meta.schema import Struct, proto

KV = "/etcdserverpb.KV/"
WATCH = "/etcdserverpb.Watch/Watch"
LEASE = "/etcdserverpb.Lease/"
MAINTENANCE = "/etcdserverpb.Maintenance/"
CLUSTER = "/etcdserverpb.Cluster/"

EQUAL, GREATER, LESS, NOT_EQUAL = 0, 1, 2, 3
OF_VERSION, OF_CREATION, OF_MODIFICATION, OF_VALUE, OF_LEASE = 0, 1, 2, 3, 4
PUT, DELETE = 0, 1


class ResponseHeader(Struct):
    cluster_id: Annotated[int, proto(1)] = 0
    member_id: Annotated[int, proto(2)] = 0
    revision: Annotated[int, proto(3)] = 0
    raft_term: Annotated[int, proto(4)] = 0


class KeyValue(Struct):
    key: Annotated[bytes, proto(1)] = b""
    create_revision: Annotated[int, proto(2)] = 0
    mod_revision: Annotated[int, proto(3)] = 0
    version: Annotated[int, proto(4)] = 0
    value: Annotated[bytes, proto(5)] = b""
    lease: Annotated[int, proto(6)] = 0


class Event(Struct):
    type: Annotated[int, proto(1)] = PUT
    kv: Annotated[KeyValue | None, proto(2)] = None
    prev_kv: Annotated[KeyValue | None, proto(3)] = None


# --- KV --------------------------------------------------------------------------------------------------------------


class RangeRequest(Struct):
    key: Annotated[bytes, proto(1)] = b""
    range_end: Annotated[bytes, proto(2)] = b""
    limit: Annotated[int, proto(3)] = 0
    revision: Annotated[int, proto(4)] = 0
    sort_order: Annotated[int, proto(5)] = 0
    """0 none, 1 ascending, 2 descending"""
    sort_target: Annotated[int, proto(6)] = 0
    """0 key, 1 version, 2 create revision, 3 mod revision, 4 value"""
    serializable: Annotated[bool, proto(7)] = False
    keys_only: Annotated[bool, proto(8)] = False
    count_only: Annotated[bool, proto(9)] = False
    min_mod_revision: Annotated[int, proto(10)] = 0
    max_mod_revision: Annotated[int, proto(11)] = 0
    min_create_revision: Annotated[int, proto(12)] = 0
    max_create_revision: Annotated[int, proto(13)] = 0


class RangeResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    kvs: Annotated[list[KeyValue], proto(2)] = []
    more: Annotated[bool, proto(3)] = False
    count: Annotated[int, proto(4)] = 0


class PutRequest(Struct):
    key: Annotated[bytes, proto(1)] = b""
    value: Annotated[bytes, proto(2)] = b""
    lease: Annotated[int, proto(3)] = 0
    prev_kv: Annotated[bool, proto(4)] = False
    ignore_value: Annotated[bool, proto(5)] = False
    ignore_lease: Annotated[bool, proto(6)] = False


class PutResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    prev_kv: Annotated[KeyValue | None, proto(2)] = None


class DeleteRangeRequest(Struct):
    key: Annotated[bytes, proto(1)] = b""
    range_end: Annotated[bytes, proto(2)] = b""
    prev_kv: Annotated[bool, proto(3)] = False


class DeleteRangeResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    deleted: Annotated[int, proto(2)] = 0
    prev_kvs: Annotated[list[KeyValue], proto(3)] = []


class RequestOp(Struct):
    """One of the four."""

    range: Annotated[RangeRequest | None, proto(1)] = None
    put: Annotated[PutRequest | None, proto(2)] = None
    delete_range: Annotated[DeleteRangeRequest | None, proto(3)] = None


class ResponseOp(Struct):
    range: Annotated[RangeResponse | None, proto(1)] = None
    put: Annotated[PutResponse | None, proto(2)] = None
    delete_range: Annotated[DeleteRangeResponse | None, proto(3)] = None


class Comparison(Struct):
    result: Annotated[int, proto(1)] = EQUAL
    target: Annotated[int, proto(2)] = OF_VERSION
    key: Annotated[bytes, proto(3)] = b""
    version: Annotated[int | None, proto(4)] = None
    create_revision: Annotated[int | None, proto(5)] = None
    mod_revision: Annotated[int | None, proto(6)] = None
    value: Annotated[bytes | None, proto(7)] = None
    lease: Annotated[int | None, proto(8)] = None
    range_end: Annotated[bytes, proto(64)] = b""


class TxnRequest(Struct):
    compare: Annotated[list[Comparison], proto(1)] = []
    success: Annotated[list[RequestOp], proto(2)] = []
    failure: Annotated[list[RequestOp], proto(3)] = []


class TxnResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    succeeded: Annotated[bool, proto(2)] = False
    responses: Annotated[list[ResponseOp], proto(3)] = []


class CompactionRequest(Struct):
    revision: Annotated[int, proto(1)] = 0
    physical: Annotated[bool, proto(2)] = False


class HeaderOnly(Struct):
    """The answer of calls that only tell the revision: Compact, LeaseRevoke, Defragment."""

    header: Annotated[ResponseHeader | None, proto(1)] = None


# --- Watch -----------------------------------------------------------------------------------------------------------


class WatchCreateRequest(Struct):
    key: Annotated[bytes, proto(1)] = b""
    range_end: Annotated[bytes, proto(2)] = b""
    start_revision: Annotated[int, proto(3)] = 0
    progress_notify: Annotated[bool, proto(4)] = False
    filters: Annotated[list[int], proto(5)] = []
    """0 no puts, 1 no deletions"""
    prev_kv: Annotated[bool, proto(6)] = False
    watch_id: Annotated[int, proto(7)] = 0
    fragment: Annotated[bool, proto(8)] = False


class WatchCancelRequest(Struct):
    watch_id: Annotated[int, proto(1)] = 0


class WatchProgressRequest(Struct):
    """Asks for the revision that every watch of the stream has reached."""


class WatchRequest(Struct):
    create: Annotated[WatchCreateRequest | None, proto(1)] = None
    cancel: Annotated[WatchCancelRequest | None, proto(2)] = None
    progress: Annotated[WatchProgressRequest | None, proto(3)] = None


class WatchResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    watch_id: Annotated[int, proto(2)] = 0
    created: Annotated[bool, proto(3)] = False
    canceled: Annotated[bool, proto(4)] = False
    compact_revision: Annotated[int, proto(5)] = 0
    cancel_reason: Annotated[str, proto(6)] = ""
    fragment: Annotated[bool, proto(7)] = False
    events: Annotated[list[Event], proto(11)] = []


# --- Lease -----------------------------------------------------------------------------------------------------------


class LeaseGrantRequest(Struct):
    ttl: Annotated[int, proto(1)] = 0
    id: Annotated[int, proto(2)] = 0


class LeaseRequest(Struct):
    """LeaseRevoke and LeaseKeepAlive ask with the id alone."""

    id: Annotated[int, proto(1)] = 0


class LeaseResponse(Struct):
    """The answer to LeaseGrant and LeaseKeepAlive; a TTL of 0 is a lease that is gone."""

    header: Annotated[ResponseHeader | None, proto(1)] = None
    id: Annotated[int, proto(2)] = 0
    ttl: Annotated[int, proto(3)] = 0
    error: Annotated[str, proto(4)] = ""


class LeaseTimeToLiveRequest(Struct):
    id: Annotated[int, proto(1)] = 0
    keys: Annotated[bool, proto(2)] = False


class LeaseTimeToLiveResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    id: Annotated[int, proto(2)] = 0
    ttl: Annotated[int, proto(3)] = 0
    """Seconds left; -1: there is no such lease."""
    granted_ttl: Annotated[int, proto(4)] = 0
    keys: Annotated[list[bytes], proto(5)] = []


class LeaseLeasesResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    leases: Annotated[list[LeaseRequest], proto(2)] = []


# --- Maintenance -----------------------------------------------------------------------------------------------------


class Empty(Struct):
    """Requests without a field: Status, Snapshot, Defragment, LeaseLeases."""


class StatusResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    version: Annotated[str, proto(2)] = ""
    db_size: Annotated[int, proto(3)] = 0
    leader: Annotated[int, proto(4)] = 0
    raft_index: Annotated[int, proto(5)] = 0
    raft_term: Annotated[int, proto(6)] = 0
    raft_applied_index: Annotated[int, proto(7)] = 0
    errors: Annotated[list[str], proto(8)] = []
    db_size_in_use: Annotated[int, proto(9)] = 0
    is_learner: Annotated[bool, proto(10)] = False


class SnapshotResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    remaining_bytes: Annotated[int, proto(2)] = 0
    blob: Annotated[bytes, proto(3)] = b""


# --- Cluster ---------------------------------------------------------------------------------------------------------


class Member(Struct):
    id: Annotated[int, proto(1)] = 0
    name: Annotated[str, proto(2)] = ""
    peer_urls: Annotated[list[str], proto(3)] = []
    client_urls: Annotated[list[str], proto(4)] = []
    is_learner: Annotated[bool, proto(5)] = False


class MemberListResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    members: Annotated[list[Member], proto(2)] = []


class MemberAddRequest(Struct):
    peer_urls: Annotated[list[str], proto(1)] = []
    is_learner: Annotated[bool, proto(2)] = False


class MemberAddResponse(Struct):
    header: Annotated[ResponseHeader | None, proto(1)] = None
    member: Annotated[Member | None, proto(2)] = None
    members: Annotated[list[Member], proto(3)] = []


class MemberIdRequest(Struct):
    """MemberRemove and MemberPromote ask with the id alone."""

    id: Annotated[int, proto(1)] = 0


class MemberUpdateRequest(Struct):
    id: Annotated[int, proto(1)] = 0
    peer_urls: Annotated[list[str], proto(2)] = []
