"""Which kinds are served."""

from __future__ import annotations

import pytest

from tiphys.api.kinds import (
    IPADDRESS,
    IPADDRESS_V1BETA1,
    KINDS,
    LEASECANDIDATE,
    POD,
    PREVIEW_KINDS,
    SERVICECIDR_V1BETA1,
)
from tiphys.apiserver.runtimeconfig import served_kinds


def test_previews_are_off_unless_asked_for() -> None:
    assert served_kinds() == KINDS
    assert set(served_kinds(["api/all=true"])) == {*KINDS, *PREVIEW_KINDS}


@pytest.mark.parametrize(
    ("config", "on", "off"),
    [
        (["api/beta=true"], [IPADDRESS, IPADDRESS_V1BETA1, LEASECANDIDATE], []),
        (["api/alpha=true"], [IPADDRESS], [IPADDRESS_V1BETA1]),
        (["networking.k8s.io/v1beta1=true"], [IPADDRESS_V1BETA1, SERVICECIDR_V1BETA1, POD], [LEASECANDIDATE]),
        (["networking.k8s.io/v1beta1/ipaddresses"], [IPADDRESS_V1BETA1], [SERVICECIDR_V1BETA1]),
        (["api/all=true", "networking.k8s.io/v1beta1=false"], [LEASECANDIDATE], [IPADDRESS_V1BETA1]),
        (["api/ga=false", "/v1=true"], [POD], [IPADDRESS]),
    ],
)
def test_the_more_exact_item_wins(config: list[str], on: list[object], off: list[object]) -> None:
    served = set(served_kinds(config))
    assert served.issuperset(on)  # type: ignore[arg-type]  # kinds of any resource
    assert served.isdisjoint(off)  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("api/all=false", "invalid runtime-config with only api/all=false"),
        ("api/all=maybe", "invalid value of api/all: maybe"),
        ("apps", "runtime-config invalid key apps"),
        ("none/v1=true", "unknown api groups none/v1"),
        ("apps/v9=true", "group version apps/v9 that has not been registered"),
        ("apps/v1/Deployments=true", "lowercase plural"),
    ],
)
def test_items_that_mean_nothing_are_refused(item: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        served_kinds([item])
