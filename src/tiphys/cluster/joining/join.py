"""`tiphys join`: this machine becomes a node, or a further control plane, of a cluster that began elsewhere.

    1. is this the cluster that the token was made in?                     discovery
    2. what its machines agree on                                          kube-system/tiphys-config
    3. a node: a certificate by request, approved because of the token     requests
       a control plane: the cluster's keys, opened with the certificate key; etcd learns of a member   keys, etcd
    4. settings are kept, and the supervisor starts: from here on it is as after `tiphys up`

Nothing is kept before the cluster has agreed, so that a join that failed is simply repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from tiphys.base import pki
from tiphys.base.clock import SystemClock
from tiphys.cluster import certificates, etcd_members, preflight
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.joining import discovery, etcd, keys, published
from tiphys.cluster.joining.tokens import BootstrapToken
from tiphys.cluster.progress import Progress
from tiphys.cluster.settings import ClusterSettings, DataDirectory, Joined
from tiphys.cluster.up import start
from tiphys.store.etcd.address import EtcdAddress

if TYPE_CHECKING:
    from tiphys.client.kubeconfig import Access
    from tiphys.client.rest import RestClient

T = TypeVar("T")
_CERTIFICATE_S = 60.0
_PROVISIONAL_DAYS = 2


class Wanted(msgspec.Struct, frozen=True):
    """What the command line says."""

    server: str
    token: BootstrapToken
    ca_hash: str
    node_name: str
    advertise_address: str = ""
    api_port: int = 0
    """0: as the server that was named."""
    certificate_key: str = ""
    """Given: become a control plane."""
    install: bool = False


class Introduced(msgspec.Struct, frozen=True):
    """What the cluster told."""

    found: discovery.Found
    shared: published.SharedSettings


def join(data: DataDirectory, wanted: Wanted, progress: Progress) -> ClusterSettings:
    """Raises ClusterError."""
    kept = data.load_settings()
    if kept is not None:
        return _again(data, kept, wanted, progress)
    clock = SystemClock()
    with progress.step("The cluster") as detail:
        found = discovery.discover(wanted.server, wanted.token, wanted.ca_hash, clock.now())
        introduced = _run(_introduce(found, wanted))
        detail.append(found.server)
    _check_machine(introduced.shared, wanted, progress)
    data.create()
    become = _become_control_plane if wanted.certificate_key else _become_node
    settings = become(data, introduced, wanted, progress, clock.now())
    pki.write_private(data.servers_file, f"{found.server}\n".encode(), 0o644)
    data.save_settings(settings)
    start(data, settings, progress)
    return settings


def _again(data: DataDirectory, kept: ClusterSettings, wanted: Wanted, progress: Progress) -> ClusterSettings:
    if kept.joined is None or kept.joined.server != wanted.server:
        where = "a cluster of its own" if kept.joined is None else f"the cluster of {kept.joined.server}"
        raise ClusterError(
            f"{data.root} belongs to {where}", "`tiphys reset` there first, or name another directory with --data-dir"
        )
    progress.say("This machine has joined already; it is started.")
    start(data, kept, progress)
    return kept


def _run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(work)


async def _introduce(found: discovery.Found, wanted: Wanted) -> Introduced:
    """Read what the cluster's machines agree on, as whoever holds the token. Raises ClusterError."""
    from tiphys.api.errors import ApiError, NotFound, Unauthorized
    from tiphys.api.kinds import CONFIGMAP, NODE

    client = _client(_token_access(found, wanted.token))
    try:
        namespace, name = published.CONFIG
        config = await client.get(CONFIGMAP, name, namespace)
        shared = published.decode_shared(config.data.get("cluster.json", ""))
        try:
            node = await client.get(NODE, wanted.node_name)
        except NotFound:
            return Introduced(found, shared)
    except Unauthorized as error:
        raise ClusterError(
            f"the cluster does not accept the token {wanted.token.id} any more",
            "`tiphys token create` prints a new line",
        ) from error
    except NotFound as error:
        raise ClusterError(f"{found.server} is no Tiphys control plane: it publishes no tiphys-config") from error
    except ApiError as error:
        raise ClusterError(f"the cluster does not say how its nodes are set up: {error.message}") from error
    except ValueError as error:
        raise ClusterError(
            f"the cluster's tiphys-config cannot be read: {error}", "is it of another version?"
        ) from error
    finally:
        await client.close()
    if any(c.type == "Ready" and c.status == "True" for c in node.status.conditions):
        raise ClusterError(
            f"a node {wanted.node_name} is in the cluster already, and ready", "give this one another --node-name"
        )
    return Introduced(found, shared)


def _token_access(found: discovery.Found, token: BootstrapToken) -> Access:
    from tiphys.client.kubeconfig import Access

    return Access(found.server, ca=found.ca, token=str(token))


def _client(access: Access) -> RestClient:
    from tiphys.client.rest import RestClient

    return RestClient(access, user_agent="tiphys-join")


def _check_machine(shared: published.SharedSettings, wanted: Wanted, progress: Progress) -> None:
    """Can this machine be what is wanted? Raises ClusterError."""
    if wanted.certificate_key and shared.store == "embedded":
        raise ClusterError(
            "the cluster keeps its objects in an embedded store, which one control plane alone can use",
            "docs/high-availability.md tells how they move to etcd",
        )
    if wanted.certificate_key and shared.store == "managed":
        etcd_members.check_installed()
    if shared.cluster.runtime == "simulated":
        if not wanted.certificate_key:
            raise ClusterError(
                "the cluster's nodes are simulated: a real one cannot join it", "`tiphys up --nodes N` there makes more"
            )
        return
    if shared.cluster.pod_network.startswith("/") and not Path(shared.cluster.pod_network).is_file():
        raise ClusterError(
            f"the cluster's pod network is configured by {shared.cluster.pod_network}, which is not on this machine",
            "copy the file to the same place, with the plugins it names",
        )
    obstacle = preflight.obstacle()
    if obstacle:
        raise ClusterError(f"this machine cannot run containers: {obstacle}")
    needs = preflight.missing()
    if needs and wanted.install:
        preflight.install(needs, progress)
        needs = preflight.missing()
    if needs:
        raise ClusterError(
            f"{', '.join(need.package for need in needs)} missing", "`tiphys join ... --install` installs it"
        )


def _settings(data: DataDirectory, told: Introduced, wanted: Wanted) -> ClusterSettings:
    port = wanted.api_port or urlsplit(told.found.server).port or 6443
    joined = Joined(node_name=wanted.node_name, server=told.found.server, control_plane=bool(wanted.certificate_key))
    return msgspec.structs.replace(
        told.shared.cluster, api_port=port, advertise_address=wanted.advertise_address, joined=joined
    )


def _become_node(
    data: DataDirectory, told: Introduced, wanted: Wanted, progress: Progress, now: datetime
) -> ClusterSettings:
    """Ask for the node's certificate, and write what the node connects with."""
    from tiphys.api.errors import ApiError
    from tiphys.client.kubeconfig import Access
    from tiphys.cluster.joining.requests import Refused, agent_identity, node_identity, obtain
    from tiphys.cluster.joining.rotation import Credentials

    settings, name = _settings(data, told, wanted), wanted.node_name
    agent = certificates.network_agent(name)
    pki.write_private(certificates.pair(data, "ca").certificate, told.found.ca, 0o644)

    async def ask() -> None:
        """With the token for the node's certificate, with that for its network agent's."""
        client = _client(_token_access(told.found, wanted.token))
        agents = _client(Access(told.found.server, ca=told.found.ca))
        own = Credentials(client, node_identity(name), data.kubeconfig(name), certificates.pair(data, name))
        other = Credentials(agents, agent_identity(name), data.kubeconfig(agent), certificates.pair(data, agent))
        try:
            for credentials in (own, other):
                given = await obtain(client, SystemClock(), credentials.who, timeout_s=_CERTIFICATE_S)
                await credentials.replace(given)
        except ApiError as error:
            raise ClusterError(f"the cluster refuses the node's certificate request: {error.message}") from error
        except Refused as error:
            raise ClusterError(str(error), "`tiphys status` on a control plane: do its controllers run?") from error
        finally:
            await client.close()
            await agents.close()

    with progress.step("Certificates of the node"):
        _run(ask())
    serving = certificates.pair(data, f"{name}-serving")
    # Until its request for a serving certificate is granted, which needs a Node, the node vouches for itself.
    addresses = certificates.node_addresses(settings, name)
    pki.save(serving, pki.new_provisional(f"system:node:{name}", (name, *addresses), now=now, days=_PROVISIONAL_DAYS))
    return settings


def _become_control_plane(
    data: DataDirectory, told: Introduced, wanted: Wanted, progress: Progress, now: datetime
) -> ClusterSettings:
    """Get the cluster's keys, make certificates of them, and let etcd learn of a member here."""
    settings = _settings(data, told, wanted)
    preflight.check_port(settings.api_port)
    with progress.step("Keys of the cluster"):
        bundle = _run(_keys(told.found, wanted))
        keys.unpack(bundle, data.pki)
        certificates.create(data, settings, now)
    if told.shared.store == "managed":
        with progress.step("Member of etcd") as detail:
            host = certificates.outside_address(settings)
            client_port, peer_port = etcd_members.free_ports(2)
            own = etcd_members.managed_certificates(data.pki)
            own.create((host,), now)
            member = etcd_members.managed_member(data.root, (client_port, peer_port), host, wanted.node_name)
            local = own.address((member,))
            others = msgspec.structs.replace(local, servers=bundle.etcd_servers)
            settings = msgspec.structs.replace(
                settings, etcd_ports=(client_port, peer_port), etcd_host=host, etcd_name=wanted.node_name,
                etcd=msgspec.structs.replace(local, servers=(member.local_url, *bundle.etcd_servers)),
            )  # fmt: skip
            settings = _run(etcd.come_in(data, settings, others))
            detail.append(f"one of {len(settings.etcd_peers) + 1}")
        return settings
    files = [str(data.pki / name) if name in bundle.files else "" for name in keys.EXTERNAL]
    return msgspec.structs.replace(settings, etcd=EtcdAddress(bundle.etcd_servers, *files))


async def _keys(found: discovery.Found, wanted: Wanted) -> keys.Bundle:
    from tiphys.api.errors import ApiError, Forbidden, NotFound
    from tiphys.api.kinds import SECRET

    keys.parse_key(wanted.certificate_key)
    again = "`tiphys token create --control-plane` prints a new line"
    client = _client(_token_access(found, wanted.token))
    try:
        namespace, name = published.KEYS
        secret = await client.get(SECRET, name, namespace)
    except Forbidden as error:
        raise ClusterError("this token lets nodes join, not control planes", again) from error
    except NotFound as error:
        raise ClusterError("the cluster's keys are not there any more: they go with their token", again) from error
    except ApiError as error:
        raise ClusterError(f"the cluster's keys cannot be read: {error.message}", again) from error
    finally:
        await client.close()
    return keys.open_sealed(secret.data, wanted.certificate_key)
