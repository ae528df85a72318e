"""Lease. Source: staging/src/k8s.io/api/coordination/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, forbidden, invalid, not_supported
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, MicroTime, Struct, field, proto


class LeaseSpec(Struct):
    """Who holds the lease, since when, and for how long unless renewed."""

    holder_identity: Annotated[str | None, proto(1)] = None
    lease_duration_seconds: Annotated[Int32 | None, proto(2)] = None
    acquire_time: Annotated[MicroTime | None, proto(3)] = None
    renew_time: Annotated[MicroTime | None, proto(4)] = None
    lease_transitions: Annotated[Int32 | None, proto(5)] = None
    strategy: Annotated[str | None, proto(6, gate="CoordinatedLeaderElection")] = None
    preferred_holder: Annotated[str | None, proto(7, gate="CoordinatedLeaderElection")] = None


class Lease(Resource):
    """A claim that lapses: the heartbeat of a node, the seat of a leader."""

    spec: Annotated[LeaseSpec, proto(2)] = field(default_factory=LeaseSpec)


STRATEGIES = ("OldestEmulationVersion",)


def _validate(lease: Lease, _old: Lease | None) -> Iterator[FieldError]:
    spec = lease.spec
    if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", spec.lease_duration_seconds, "must be greater than 0")
    if spec.lease_transitions is not None and spec.lease_transitions < 0:
        yield invalid("spec.leaseTransitions", spec.lease_transitions, "must be greater than or equal to 0")
    if spec.strategy is not None and "/" not in spec.strategy and spec.strategy not in STRATEGIES:
        yield not_supported("spec.strategy", spec.strategy, STRATEGIES)
    if spec.preferred_holder and not spec.strategy:
        yield forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")


LEASE = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    schema=Lease,
    allow_create_on_update=True,
    allow_unconditional_update=False,
    validate=_validate,
    columns=(NAME, Column("Holder", "string", lambda lease: lease.spec.holder_identity or "", "Who has it."), AGE),
)
