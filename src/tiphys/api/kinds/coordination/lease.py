"""DOC:kinds/coordination/lease.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, MicroTime, Struct, field, proto


class LeaseSpec(Struct):
    """DOC:coordination.LeaseSpec"""

    holder_identity: Annotated[str | None, proto(1)] = None
    lease_duration_seconds: Annotated[Int32 | None, proto(2)] = None
    acquire_time: Annotated[MicroTime | None, proto(3)] = None
    renew_time: Annotated[MicroTime | None, proto(4)] = None
    lease_transitions: Annotated[Int32 | None, proto(5)] = None
    strategy: Annotated[str | None, proto(6)] = None
    preferred_holder: Annotated[str | None, proto(7)] = None


class Lease(Resource):
    """DOC:coordination.Lease"""

    spec: Annotated[LeaseSpec, proto(2)] = field(default_factory=LeaseSpec)


LEASE = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    schema=Lease,
    allow_create_on_update=True,
    allow_unconditional_update=False,
)
