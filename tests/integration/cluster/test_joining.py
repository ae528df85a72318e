"""Joining, as far as it needs neither root nor a second machine: tokens, discovery, certificates by request."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.integration.cluster.test_commands import Here

from tiphys.api.errors import Forbidden, Unauthorized
from tiphys.api.kind import new
from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST, CONFIGMAP, ENDPOINTSLICE, NODE, SECRET
from tiphys.api.kinds.core.node import NodeAddress
from tiphys.base import pki
from tiphys.base.clock import SystemClock
from tiphys.base.pki import PairPaths
from tiphys.client import kubeconfig
from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient
from tiphys.cluster.joining.requests import Refused, agent_identity, node_identity, obtain
from tiphys.cluster.joining.rotation import Credentials, Rotation


class Cluster(Here):
    """Reached at loopback, as if that were where other machines reach it."""

    def line(self) -> list[str]:
        """What `token create` prints, without `tiphys`."""
        made = self.tiphys("token", "create")
        assert made.returncode == 0, made.stderr
        (line,) = made.stdout.splitlines()
        return line.split()[1:]

    @property
    def admin(self) -> Access:
        return kubeconfig.load([self.directory / "admin.kubeconfig"]).access()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("joining") / "data")
    up = made.up("--advertise-address", "127.0.0.1")
    assert up.returncode == 0, up.stderr
    yield made
    made.tiphys("reset")


def _join(cluster: Cluster, line: list[str], directory: Path):
    return Here(directory).tiphys(*line)


def test_help_teaches(cluster: Cluster) -> None:
    assert "tiphys join 10.0.0.1:6443 --token" in cluster.tiphys("join", "--help").stdout
    assert "tiphys token create --control-plane" in cluster.tiphys("token", "--help").stdout
    assert "To replace a dead one" in cluster.tiphys("members", "--help").stdout


def test_the_line_leads_to_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    told = _join(cluster, [*cluster.line(), "--node-name", "other"], tmp_path / "d")
    assert told.returncode == 1
    assert "nodes are simulated: a real one cannot join" in told.stderr, "everything before that was right"
    assert not (tmp_path / "d").exists()


def _with(line: list[str], flag: str, value: str) -> list[str]:
    changed = list(line)
    changed[changed.index(flag) + 1] = value
    return changed


def test_what_is_wrong_is_told_in_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    line = cluster.line()
    token, pin = line[line.index("--token") + 1], line[line.index("--discovery-token-ca-cert-hash") + 1]
    other = "sha256:" + ("0" if pin[7] != "0" else "1") * 64
    with socket.socket() as closed, socket.socket() as dumb:
        closed.bind(("127.0.0.1", 0))
        dumb.bind(("127.0.0.1", 0))
        cases = [
            (_with(line, "--token", "zzzzzz.0123456789abcdef"), "does not know the token zzzzzz"),
            (_with(line, "--token", token[:-1] + ("0" if token[-1] != "0" else "1")), "another secret"),
            (_with(line, "--token", "nonsense"), "this is no token"),
            (_with(line, "--discovery-token-ca-cert-hash", other), "somebody stands between"),
            (_with(line, "--discovery-token-ca-cert-hash", "sha256:12"), "not a hash of a CA"),
            (["join", f"127.0.0.1:{closed.getsockname()[1]}", *line[2:]], "no API server can be reached"),
            ([*line, "--control-plane"], "go together"),
            ([*line, "--control-plane", "--certificate-key", "00" * 32], "embedded store"),
            ([*line, "--node-name", "No_Name"], "cannot be a node's name"),
        ]
        for words, said in cases:
            told = _join(cluster, words, tmp_path / "d")
            assert told.returncode == 1 and said in told.stderr, (words, told.stderr)
            assert "Traceback" not in told.stderr
    assert (
        "an embedded store, which one control plane alone can use"
        in cluster.tiphys("token", "create", "--control-plane").stderr
    )
    assert "one control plane, with an embedded store" in cluster.tiphys("members").stderr


def test_tokens_are_listed_and_end(cluster: Cluster, tmp_path: Path) -> None:
    line = cluster.line()
    token = line[line.index("--token") + 1]
    listed = cluster.tiphys("token", "ls").stdout
    assert token[:6] in listed and token[7:] not in listed
    assert cluster.tiphys("token", "delete", token).returncode == 0
    assert "no such token" in cluster.tiphys("token", "delete", token).stderr
    assert "--ttl" in cluster.tiphys("token", "create", "--ttl", "soon").stderr


async def test_a_node_gets_its_certificates_and_renews_them(cluster: Cluster, tmp_path: Path) -> None:
    line = cluster.line()
    admin = RestClient(cluster.admin)
    access = Access(cluster.admin.server, ca=cluster.admin.ca, token=line[line.index("--token") + 1])
    joiner, clock = RestClient(access), SystemClock()
    own = Credentials(
        joiner, node_identity("joined"), tmp_path / "node.kubeconfig", PairPaths(tmp_path / "n.crt", tmp_path / "n.key")
    )
    agents = RestClient(replace(access, token=""))
    agent = Credentials(
        agents,
        agent_identity("joined"),
        tmp_path / "agent.kubeconfig",
        PairPaths(tmp_path / "a.crt", tmp_path / "a.key"),
    )
    first = await obtain(joiner, clock, own.who, timeout_s=30)
    await own.replace(first)
    node = own.client  # from here on it has no token any more
    registered = new(NODE, "joined")
    await node.create(NODE, registered)
    registered = await admin.get(NODE, "joined")
    registered.metadata.resource_version = ""  # whatever controllers did to it meanwhile
    registered.status.addresses = [NodeAddress(type="InternalIP", address="10.1.2.3")]
    await admin.update(NODE, registered, subresource="status")

    serving = PairPaths(tmp_path / "s.crt", tmp_path / "s.key")
    rotation = Rotation(clock, own.who, own, agent, serving, ("joined", "10.1.2.3"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    rotation.served = lambda: context
    await rotation.renew_serving()
    assert pki.covers(serving.certificate.read_bytes(), ("joined", "10.1.2.3"), now=clock.now())
    await rotation.renew(agent)
    assert await agents.list(ENDPOINTSLICE, "default")
    await rotation.renew(own)
    assert own.pair.certificate.read_bytes() != first.certificate
    kept = kubeconfig.load([tmp_path / "node.kubeconfig"]).access()
    again = RestClient(kept)
    assert (await again.get(NODE, "joined")).metadata.name == "joined"
    for client in (again, agents, joiner, admin):
        await client.close()


async def test_a_node_gets_no_certificate_with_anothers_name(cluster: Cluster) -> None:
    line = cluster.line()
    admin = RestClient(cluster.admin)
    access = Access(cluster.admin.server, ca=cluster.admin.ca, token=line[line.index("--token") + 1])
    joiner, clock = RestClient(access), SystemClock()
    who = node_identity("mallory")
    mine = await obtain(joiner, clock, who, timeout_s=30)
    node = RestClient(replace(access, token="", client_certificate=mine.certificate, client_key=mine.key))
    await node.create(NODE, new(NODE, "mallory"))
    before = {item.metadata.name for item in (await admin.list(CERTIFICATESIGNINGREQUEST)).items}
    for wanted, names in ((who, ("alice",)), (who, ("mallory", "10.9.9.9")), (agent_identity("alice"), ())):
        with pytest.raises(Refused, match="not approved"):
            await obtain(node, clock, wanted, names=names, timeout_s=1.0)
    made = {item.metadata.name for item in (await admin.list(CERTIFICATESIGNINGREQUEST)).items} - before
    assert len(made) == 3
    for client in (node, joiner, admin):
        await client.close()


async def test_what_a_token_may_see(cluster: Cluster) -> None:
    line = cluster.line()
    token = line[line.index("--token") + 1]
    joiner = RestClient(Access(cluster.admin.server, ca=cluster.admin.ca, token=token))
    anyone = RestClient(Access(cluster.admin.server, ca=cluster.admin.ca))
    assert "cluster.json" in (await joiner.get(CONFIGMAP, "tiphys-config", "kube-system")).data
    assert "kubeconfig" in (await anyone.get(CONFIGMAP, "cluster-info", "kube-public")).data
    with pytest.raises(Forbidden):
        await joiner.get(SECRET, "tiphys-keys", "kube-system")
    with pytest.raises(Forbidden):
        await joiner.list(SECRET, "kube-system")
    with pytest.raises((Forbidden, Unauthorized)):
        await anyone.get(CONFIGMAP, "tiphys-config", "kube-system")
    for client in (joiner, anyone):
        await client.close()
