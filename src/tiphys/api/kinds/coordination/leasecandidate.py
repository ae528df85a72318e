"""LeaseCandidate. Source: staging/src/k8s.io/api/coordination/v1beta1/types.go."""

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec.structs import replace

from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.coordination.lease import STRATEGIES
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import MicroTime, Struct, field, proto
from tiphys.api.meta.validation import immutable


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


_VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?", re.ASCII)


def _validate(obj: LeaseCandidate, old: LeaseCandidate | None) -> Iterator[FieldError]:
    spec = obj.spec
    if not spec.lease_name:
        yield required("spec.leaseName")
    if not spec.binary_version:
        yield required("spec.binaryVersion")
    for name, version in (("binaryVersion", spec.binary_version), ("emulationVersion", spec.emulation_version)):
        if version and not _VERSION.fullmatch(version):
            yield invalid(f"spec.{name}", version, "must be a valid semantic version")
    if not spec.strategy:
        yield required("spec.strategy")
    elif "/" not in spec.strategy and spec.strategy not in STRATEGIES:
        yield not_supported("spec.strategy", spec.strategy, STRATEGIES)
    elif spec.strategy == STRATEGIES[0] and not spec.emulation_version:
        yield required("spec.emulationVersion", "must be specified when `strategy` is 'OldestEmulationVersion'")
    if old is not None:
        yield from immutable("spec.leaseName", spec.lease_name, old.spec.lease_name)


COLUMNS: tuple[Column[LeaseCandidate], ...] = (
    NAME,
    Column("LeaseName", "string", lambda obj: obj.spec.lease_name, "The lease that it could hold."),
    Column("BinaryVersion", "string", lambda obj: obj.spec.binary_version, "The version that runs."),
    Column("EmulationVersion", "string", lambda obj: obj.spec.emulation_version, "The version that it behaves as."),
    AGE,
)


LEASECANDIDATE = Kind(
    group="coordination.k8s.io",
    version="v1beta1",
    kind="LeaseCandidate",
    plural="leasecandidates",
    schema=LeaseCandidate,
    validate=_validate,
    columns=COLUMNS,
    allow_create_on_update=True,
    allow_unconditional_update=False,
)

LEASECANDIDATE_V1ALPHA2 = replace(LEASECANDIDATE, version="v1alpha2", stored_as=LEASECANDIDATE)
