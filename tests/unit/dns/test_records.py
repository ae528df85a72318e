"""What names a Service has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds.core.service import Service, ServicePort, ServiceSpec
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from tiphys.api.meta.types import ObjectMeta
from tiphys.dns.records import Records, Srv, Zone, reverse_address, service_records


def service(name: str = "web", **spec: object) -> Service:
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(**spec))


def piece(*endpoints: Endpoint, ports: tuple[EndpointPort, ...] = ()) -> EndpointSlice:
    return EndpointSlice(metadata=ObjectMeta(name="web-1"), endpoints=list(endpoints), ports=list(ports))


def test_a_service_with_an_address_has_its_name_its_ports_and_the_way_back() -> None:
    ports = [ServicePort(name="http", port=80, protocol="TCP"), ServicePort(name="dns", port=53, protocol="UDP")]
    records = service_records(service(cluster_ip="10.96.0.5", ports=ports), [])
    base = "web.default.svc"
    assert records.names == {
        base: Records(("10.96.0.5",), (Srv(80, base), Srv(53, base))),
        f"_http._tcp.{base}": Records(("10.96.0.5",), (Srv(80, base),)),
        f"_dns._udp.{base}": Records(("10.96.0.5",), (Srv(53, base),)),
    }
    assert records.reverse == {"10.96.0.5": (base,)}


def test_a_headless_service_names_its_ready_endpoints() -> None:
    slices = [
        piece(
            Endpoint(addresses=["10.244.0.7"], hostname="db-0"),
            Endpoint(addresses=["10.244.0.8"]),
            Endpoint(addresses=["10.244.0.9"], conditions=EndpointConditions(ready=False)),
            ports=(EndpointPort(name="sql", port=5432, protocol="TCP"),),
        )
    ]
    records = service_records(service(cluster_ip="None"), slices)
    base = "web.default.svc"
    srv = (Srv(5432, f"db-0.{base}"), Srv(5432, f"10-244-0-8.{base}"))
    both = ("10.244.0.7", "10.244.0.8")
    assert records.names == {
        base: Records(both, srv),
        f"_sql._tcp.{base}": Records(both, srv),
        f"db-0.{base}": Records(("10.244.0.7",)),
        f"10-244-0-8.{base}": Records(("10.244.0.8",)),
    }
    assert records.reverse == {"10.244.0.7": (f"db-0.{base}",), "10.244.0.8": (f"10-244-0-8.{base}",)}


def test_a_headless_service_without_endpoints_still_exists() -> None:
    assert service_records(service(cluster_ip="None"), []).names == {"web.default.svc": Records()}


def test_an_external_name_is_an_alias_and_a_service_without_address_is_nothing() -> None:
    external = service(type="ExternalName", external_name="Example.com.")
    assert service_records(external, []).names == {"web.default.svc": Records(cname="example.com")}
    assert not service_records(service(), []).names


def test_pods_names_above_others_and_namespaces() -> None:
    zone = Zone()
    zone.namespaces.add("default")
    zone.replace(
        ("default", "web"),
        service_records(service(cluster_ip="10.96.0.5", ports=[ServicePort(name="http", port=80)]), []),
    )
    assert zone.find("10-244-0-7.default.pod") == Records(("10.244.0.7",))
    for empty in ("", "svc", "pod", "default.svc", "default.pod", "_tcp.web.default.svc"):
        assert zone.find(empty) == Records(), empty
    for missing in ("nope.default.svc", "other.svc", "10-244-0-7.other.pod", "x.default.pod", "a.web.default.svc"):
        assert zone.find(missing) is None, missing
    assert zone.names_of("10.96.0.5") == ("web.default.svc",)


names = st.sampled_from(["a", "b", "c"])
addresses = st.sampled_from(["None", "10.96.0.1", "10.96.0.2", ""])
changes = st.lists(st.tuples(names, st.none() | addresses, st.lists(st.integers(1, 4), max_size=3)), max_size=12)


def replaced(zone: Zone, name: str, address: str | None, endpoints: list[int]) -> None:
    if address is None:
        zone.replace(("default", name), None)
        return
    slices = [piece(*(Endpoint(addresses=[f"10.244.0.{e}"]) for e in endpoints))]
    zone.replace(("default", name), service_records(service(name, cluster_ip=address), slices))


@given(changes)
def test_a_zone_after_changes_equals_one_built_anew(history: list[tuple[str, str | None, list[int]]]) -> None:
    changed, anew = Zone(), Zone()
    for change in history:
        replaced(changed, *change)
    for name, address, endpoints in {name: change for change in history for name in change[:1]}.values():
        replaced(anew, name, address, endpoints)
    assert vars(changed) == vars(anew)


def test_reverse_names() -> None:
    assert reverse_address("7.0.244.10.in-addr.arpa") == "10.244.0.7"
    assert reverse_address("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa") == "2001:db8::1"
    for other in ("0.244.10.in-addr.arpa", "x.0.244.10.in-addr.arpa", "web.default.svc"):
        assert reverse_address(other) == ""
