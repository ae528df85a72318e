"""Which families of addresses a cluster may have, and what follows for its nodes."""

from __future__ import annotations

import pytest

from tiphys.cluster.certificates import server_url
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.namespaces import NodeNetworks
from tiphys.cluster.preflight import check_ranges
from tiphys.cluster.settings import ClusterSettings

V4, V6 = ("10.8.0.0/16", "10.9.0.0/16"), ("fd00:8::/56", "fd00:9::/112")


@pytest.mark.parametrize(
    ("pods", "services", "fine"),
    [
        (V4[0], V4[1], True),
        (V6[0], V6[1], True),
        (f"{V4[0]},{V6[0]}", f"{V4[1]},{V6[1]}", True),
        (f"{V6[0]},{V4[0]}", f"{V6[1]},{V4[1]}", False),
        (V4[0], V6[1], False),
        (V6[0], f"{V4[1]},{V6[1]}", False),
        ("10.8.0.0/33", V4[1], False),
    ],
)
def test_one_family_or_both_with_ipv4_first(pods: str, services: str, fine: bool) -> None:
    if fine:
        check_ranges(pods, services)
    else:
        with pytest.raises(ClusterError):
            check_ranges(pods, services)


def test_a_cluster_of_ipv6_alone_knows_no_ipv4_address() -> None:
    settings = ClusterSettings(nodes=2, number=7, pod_cidr=V6[0], service_cidr=V6[1])
    assert (settings.ipv4, settings.ipv6) == (False, True)
    assert settings.dns_ip == "fd00:9::a"
    assert settings.networks.addresses_of("node-1") == ("fd74:6970:7:ff00::b",)
    assert settings.networks.host_address == "fd74:6970:7:ff00::1"
    assert settings.load_balancer_pool == "fd74:6970:7:fd00::/120"


def test_nodes_of_both_families_have_ipv4_first() -> None:
    assert NodeNetworks(7, ipv6=True).addresses_of("node-1") == ("172.30.7.11", "fd74:6970:7:ff00::b")


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_the_api_servers_address_as_a_url(host: str, url: str) -> None:
    assert server_url(host, 6443) == url
