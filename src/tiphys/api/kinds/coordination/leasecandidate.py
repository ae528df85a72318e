"""LeaseCandidate. Source: staging/src/k8s.io/api/coordination/v1beta1/types.go."""

from typing import Annotated

from msgspec.structs import replace

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import MicroTime, Struct, field, proto


class LeaseCandidateSpec(Struct):
    """Which lease, which versions, and when it last answered."""

    lease_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    ping_time: Annotated[MicroTime | None, proto(2)] = None
    renew_time: Annotated[MicroTime | None, proto(3)] = None
    binary_version: Annotated[str, proto(4, required=True)] = field(default_factory=str)
    emulation_version: Annotated[str, proto(5)] = ""
    strategy: Annotated[str, proto(6, required=True)] = ""


class LeaseCandidate(Resource):
    """A process that could lead, for the server to choose from."""

    spec: Annotated[LeaseCandidateSpec, proto(2, required=True)] = field(default_factory=LeaseCandidateSpec)


LEASECANDIDATE = Kind(
    group="coordination.k8s.io",
    version="v1beta1",
    kind="LeaseCandidate",
    plural="leasecandidates",
    schema=LeaseCandidate,
    allow_create_on_update=True,
    allow_unconditional_update=False,
)

LEASECANDIDATE_V1ALPHA2 = replace(LEASECANDIDATE, version="v1alpha2", stored_as=LEASECANDIDATE)
