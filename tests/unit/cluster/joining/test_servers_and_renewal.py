"""Which API servers a node knows, and when its certificates are renewed."""

import datetime as dt

from tiphys.api.kind import new
from tiphys.api.kinds import ENDPOINTSLICE
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointPort
from tiphys.base import pki
from tiphys.client.kubeconfig import Access
from tiphys.cluster.joining.requests import key_and_request, node_identity, renewal, until
from tiphys.cluster.joining.rotation import provisional
from tiphys.cluster.joining.servers import servers_of, with_servers

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def _slice(name: str, port: int, *addresses: str):
    return new(
        ENDPOINTSLICE, name, "default", address_type="IPv4",
        endpoints=[Endpoint(addresses=list(addresses))] if addresses else [],
        ports=[EndpointPort(name="https", port=port, protocol="TCP")],
    )  # fmt: skip


def test_servers_are_those_of_all_slices() -> None:
    pieces = [
        _slice("kubernetes", 6443, "10.0.0.2", "10.0.0.1"),
        _slice("kubernetes-7443", 7443, "fd00::1"),
        _slice("x", 1),
    ]
    assert servers_of(pieces) == ("https://10.0.0.1:6443", "https://10.0.0.2:6443", "https://[fd00::1]:7443")


def test_the_first_server_stays_first() -> None:
    access = with_servers(Access("https://a:1"), ("https://a:1", "https://b:1"))
    assert (access.server, access.more_servers) == ("https://a:1", ("https://b:1",))


def test_renewal_comes_late_in_a_certificates_life_and_well_before_its_end() -> None:
    ca = pki.new_ca("tiphys", now=NOW)
    certificate = pki.new_client(ca, "system:node:a", ("system:nodes",), now=NOW, days=100).certificate
    first, last = renewal(certificate, 0.0), renewal(certificate, 1.0)
    assert NOW + dt.timedelta(days=69) < first < NOW + dt.timedelta(days=71)
    assert NOW + dt.timedelta(days=89) < last < NOW + dt.timedelta(days=91)
    assert until(first, last) == 0.0
    assert until(last, first) > 0


def test_a_provisional_certificate_is_known() -> None:
    ca = pki.new_ca("tiphys", now=NOW)
    assert provisional(pki.new_provisional("system:node:a", ("a", "10.0.0.1"), now=NOW, days=2).certificate)
    assert not provisional(pki.new_server(ca, "system:node:a", ("a",), now=NOW).certificate)


def test_a_request_asks_for_the_node_and_its_names() -> None:
    from cryptography import x509

    _, request = key_and_request(node_identity("a"), ("a", "10.0.0.1"))
    asked = x509.load_pem_x509_csr(request)
    assert asked.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["a", "10.0.0.1"]
