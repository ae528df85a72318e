"""Small parts: names, hosts, back-off, admission, images, security, containerd's configuration, log options."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiphys.api.codec import from_json
from tiphys.api.errors import BadRequest, Unauthorized
from tiphys.api.kinds.core.pod.log_options import log_options
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import ResourceFieldSelector
from tiphys.api.kinds.core.secret import Secret
from tiphys.api.meta.schema import Quantity
from tiphys.client.delegated import of_certificate
from tiphys.kubelet.admission import refusal
from tiphys.kubelet.backoff import RestartBackoff, go_duration
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.containerd import ContainerdSettings, lacks_sys_resource, render_config
from tiphys.kubelet.fieldrefs import UnknownField, field_value, resource_value
from tiphys.kubelet.hosts import Resolver, hostname_of, hosts_file, parse_resolv_conf, pod_resolver
from tiphys.kubelet.images.names import InvalidReference, credentials, normalized, repository_of
from tiphys.kubelet.images.oci import File, ImageConfig, layer_of, write_image
from tiphys.kubelet.images.pause import waiter_elf
from tiphys.kubelet.security import RefusedUser, container_context


def pod(spec: dict[str, object] | None = None, **metadata: object) -> Pod:
    meta = {"name": "web", "namespace": "ns", "uid": "u", **metadata}
    return from_json(Pod, {"metadata": meta, "spec": {"containers": [{"name": "c"}], **(spec or {})}})


def test_image_names() -> None:
    assert normalized("nginx") == "nginx:latest" and normalized("r:5000/a/b:1") == "r:5000/a/b:1"
    assert normalized("a@sha256:" + "0" * 64).startswith("a@")
    for wrong in ("", "A", "a b", "http://x/y", "x:"):
        with pytest.raises(InvalidReference, match="invalid reference format"):
            normalized(wrong)
    assert repository_of("nginx:1") == "docker.io/library/nginx"
    assert repository_of("localhost:5000/x") == "localhost:5000/x" and repository_of("me/x") == "docker.io/me/x"


def test_credentials_fit_by_registry_and_path() -> None:
    auths = {"auths": {"r.io": {"auth": "dTpw"}, "r.io/team": {"username": "t", "password": "s"}, "other.io": {}}}
    secret = Secret(type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": json.dumps(auths).encode()})
    assert [(a.username, a.password) for a in credentials("r.io/team/x", [secret])] == [("t", "s"), ("u", "p")]
    assert credentials("docker.io/x", [secret, Secret(type="kubernetes.io/dockerconfigjson")]) == []


def test_hosts_and_host_names() -> None:
    text = hosts_file(pod({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}), ["10.0.0.1"], "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.1\tweb\n" in text and text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert hostname_of(pod(name="a" * 62 + "-" + "b" * 10)) == "a" * 62


def test_resolvers_by_policy() -> None:
    node = parse_resolv_conf("nameserver 9.9.9.9\nsearch corp.\noptions ndots:1 timeout:2\n# nameserver 1.1.1.1\n")
    assert node == Resolver(("9.9.9.9",), ("corp",), ("ndots:1", "timeout:2"))

    def made(**spec: object) -> Resolver:
        return pod_resolver(pod(dict(spec)), node, ["10.96.0.10"], "cluster.local")

    first = made()
    assert first.servers == ("10.96.0.10",) and first.options == ("ndots:5",)
    assert first.searches == ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp")
    assert made(hostNetwork=True) == node == made(dnsPolicy="Default")
    assert made(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet") == first
    config = {"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}]}
    assert made(dnsPolicy="None", dnsConfig=config) == Resolver(("1.1.1.1",), ("x",), ("ndots:2",))
    assert made(dnsConfig=config).options == ("ndots:2",)


def test_backoff_doubles_to_its_end_and_forgets() -> None:
    backoff = RestartBackoff(10.0, 300.0)
    assert backoff.wait_s("k", 0.0, 0.0) == 0.0
    delays = []
    now = 0.0
    for _ in range(7):
        backoff.advance("k", now)
        delays.append(backoff.delay_s("k"))
        now += delays[-1]
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.wait_s("k", now, now + 100) == 200
    assert backoff.wait_s("k", now + 1000, now + 1000) == 0.0
    assert [go_duration(s) for s in (10, 80, 300, 3661)] == ["10s", "1m20s", "5m0s", "1h1m1s"]


def test_admission() -> None:
    small = Capacity(cpu_milli=1000, memory_bytes=1 << 30, disk_bytes=1 << 30, max_pods=2)

    def asks(cpu: str, port: int = 0) -> Pod:
        ports = [{"containerPort": 1, "hostPort": port}] if port else []
        return pod({"containers": [{"name": "c", "ports": ports, "resources": {"requests": {"cpu": cpu}}}]})

    assert refusal(asks("600m"), [asks("400m")], small) is None
    assert refusal(asks("601m"), [asks("400m")], small) == (
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 601, used: 400, capacity: 1000",
    )
    assert (refusal(asks("0"), [asks("0"), asks("0")], small) or ("", ""))[0] == "OutOfpods"
    assert (refusal(asks("0", 80), [asks("0", 80)], small) or ("", ""))[0] == "NodePorts"
    assert refusal(asks("0", 80), [asks("0", 81)], small) is None


def test_fields_and_resources() -> None:
    found = pod(labels={"a": "1", "b": 'say "x"\n'}, annotations={"k/x": "y"})
    assert field_value(found, "metadata.labels") == 'a="1"\nb="say \\"x\\"\\n"'
    assert field_value(found, "metadata.annotations['k/x']") == "y" and field_value(found, "metadata.labels['q']") == ""
    with pytest.raises(UnknownField):
        field_value(found, "spec.image")
    sized = pod({"containers": [{"name": "c", "resources": {"limits": {"memory": "3Mi"}}}]})
    (container,) = sized.spec.containers
    allocatable = {"cpu": Quantity("4"), "memory": Quantity("8Gi")}

    def value(resource: str, divisor: str = "0") -> str:
        return resource_value(
            sized, ResourceFieldSelector(resource=resource, divisor=Quantity(divisor)), allocatable, container
        )

    assert value("limits.memory") == str(3 << 20) and value("limits.memory", "2Mi") == "2"
    assert value("limits.cpu") == "4" and value("requests.cpu", "1m") == "0"


def test_an_image_archive_is_what_it_says(tmp_path: Path) -> None:
    layer = layer_of([File("bin/x", b"hello"), File("l", target="bin/x"), File("tmp", None, 0o1777)])
    as_file = tmp_path / "layer.tar"
    as_file.write_bytes(layer)
    config = ImageConfig(entrypoint=("/bin/x",), environment={"A": "b"}, architecture="amd64")
    digest = write_image(tmp_path / "i.tar", "r/x:1", [layer], config)
    assert digest == write_image(tmp_path / "j.tar", "r/x:1", [as_file], config)
    with tarfile.open(tmp_path / "i.tar") as tar:

        def blob(name: str) -> dict[str, object]:
            member = tar.extractfile("blobs/" + name.replace(":", "/"))
            assert member is not None
            made: dict[str, object] = json.loads(member.read())
            return made

        manifest = blob(digest)
        image = blob(manifest["config"]["digest"])  # type: ignore[index]  # JSON
    assert image["config"] == {"Entrypoint": ["/bin/x"], "Env": ["A=b"]}
    assert image["rootfs"]["diff_ids"] == [entry["digest"] for entry in manifest["layers"]]  # type: ignore[index, attr-defined]  # JSON


def test_the_waiter_is_an_elf() -> None:
    for architecture in ("amd64", "arm64"):
        assert waiter_elf(architecture).startswith(b"\x7fELF\x02\x01\x01")


def test_non_root_is_judged_by_number() -> None:
    strict = pod({"securityContext": {"runAsNonRoot": True}})
    (container,) = strict.spec.containers
    with pytest.raises(RefusedUser, match="image will run as root"):
        container_context(strict, container, 0, "")
    with pytest.raises(RefusedUser, match=r"non-numeric user \(app\)"):
        container_context(strict, container, None, "app")
    made = container_context(strict, container, 7, "")
    assert made.run_as_user is not None and made.run_as_user.value == 7


def test_containerd_is_told_about_missing_rights() -> None:
    assert lacks_sys_resource("CapEff:\t000001fffeffffff\n") and not lacks_sys_resource("CapEff:\t000001ffffffffff\n")
    settings = ContainerdSettings(Path("/d"), Path("/s"), Path("/cni"))
    import tomllib

    plugin = tomllib.loads(render_config(settings, restrict_oom=True))["plugins"]["io.containerd.grpc.v1.cri"]
    assert plugin["restrict_oom_score_adj"] is True and plugin["cni"]["conf_dir"] == "/cni"
    assert plugin["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False


def test_log_options() -> None:
    now = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
    options, previous = log_options({"follow": "true", "sinceSeconds": "10", "previous": "1"}, now)
    assert options.follow and previous and options.since == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(BadRequest):
        log_options({"tailLines": "x"}, now)


def test_callers_by_certificate() -> None:
    caller = of_certificate({"subject": ((("organizationName", "g"),), (("commonName", "n"),))})
    assert (caller.name, caller.groups) == ("n", ("g",))
    with pytest.raises(Unauthorized):
        of_certificate({"subject": ()})
