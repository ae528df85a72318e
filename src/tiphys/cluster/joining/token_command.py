"""`tiphys token create|ls|delete`: the line that brings a machine in, and the tokens that are still good."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from tiphys.cluster.failure import ClusterError

if TYPE_CHECKING:
    from tiphys.client.rest import RestClient
    from tiphys.cluster.joining.tokens import BootstrapToken
    from tiphys.cluster.settings import ClusterSettings, DataDirectory

_DESCRIPTION = """Tokens with which other machines join this cluster. Run it on a control plane.

  tiphys token create                  prints the line to run on a machine that is to become a node
  tiphys token create --control-plane  the same for a further control plane: its line also carries the key that opens
                                       the cluster's keys, so treat it like a password; good for two hours
  tiphys token ls                      the tokens that are good, without their secrets
  tiphys token delete ID               end one before its time
"""
_CONTROL_PLANE_TTL_S = 2 * 3600.0


def add_command(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register with the command line."""
    parser = command("token", run, "Let other machines join: `tiphys token create` prints the line to run there.")
    parser.description, parser.formatter_class = _DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", choices=("create", "ls", "delete"))
    parser.add_argument("id", nargs="?", default="", help="delete: the token, or the part before its dot")
    parser.add_argument("--ttl", metavar="TIME", help="create: how long it is good (24h; 0: until it is deleted)")
    parser.add_argument("--control-plane", action="store_true", help="create: for a further control plane")
    parser.add_argument("--description", default="", help="create: what it is for")


def run(options: argparse.Namespace) -> None:
    """Raises ClusterError."""
    from tiphys.cluster.settings import DataDirectory

    data = DataDirectory(options.data_dir)
    settings = data.load_settings()
    if settings is None:
        raise ClusterError(f"no cluster in {options.data_dir}", "`tiphys up` makes one")
    if not settings.control_plane:
        raise ClusterError("this machine is a node of a cluster, not a control plane", "run it on a control plane")
    asyncio.run(_run(options, data, settings))


async def _run(options: argparse.Namespace, data: DataDirectory, settings: ClusterSettings) -> None:
    from tiphys.api.errors import ApiError, NotFound
    from tiphys.client import kubeconfig
    from tiphys.client.kubeconfig import KubeconfigError
    from tiphys.client.rest import RestClient

    try:
        client = RestClient(kubeconfig.load([data.admin_kubeconfig]).access())
    except KubeconfigError as error:
        raise ClusterError(str(error), "`tiphys up` makes it") from error
    try:
        if options.action == "create":
            print(await _create(options, data, settings, client))
        elif options.action == "ls":
            await _list(client)
        else:
            await _delete(options.id, client)
    except NotFound as error:
        raise ClusterError("there is no such token", "`tiphys token ls` lists them") from error
    except ApiError as error:
        raise ClusterError(error.message, "`tiphys status` tells what runs") from error
    finally:
        await client.close()


async def _create(
    options: argparse.Namespace, data: DataDirectory, settings: ClusterSettings, client: RestClient
) -> str:
    from tiphys.api.kinds import SECRET
    from tiphys.base.clock import SystemClock
    from tiphys.cluster.certificates import outside_address, pair
    from tiphys.cluster.joining import tokens
    from tiphys.cluster.joining.discovery import ca_hash
    from tiphys.cluster.joining.etcd import check_reachable

    address = outside_address(settings)
    if settings.runtime == "simulated" and not settings.advertise_address:
        raise ClusterError(
            "this cluster's API server listens on 127.0.0.1 only, where no other machine reaches it",
            "`tiphys up --advertise-address ADDRESS` opens it",
        )
    control_plane: bool = options.control_plane
    if control_plane:
        check_reachable(settings)
    ttl_s = _ttl_s(options.ttl, _CONTROL_PLANE_TTL_S if control_plane else 24 * 3600.0)
    token, now = tokens.generate(), SystemClock().now()
    groups = (tokens.NODES_GROUP, *((tokens.CONTROL_PLANES_GROUP,) if control_plane else ()))
    told = options.description or ("for a control plane" if control_plane else "for nodes")
    made = await client.create(SECRET, tokens.secret_of(token, groups, now, ttl_s, told))
    words = ["tiphys", "join", f"{_host(address)}:{settings.api_port}", "--token", str(token)]
    words += ["--discovery-token-ca-cert-hash", ca_hash(pair(data, "ca").certificate.read_bytes())]
    if control_plane:
        words += ["--control-plane", "--certificate-key", await _share_keys(data, settings, client, token, made)]
    await _signed(client, token)
    return " ".join(words)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _ttl_s(text: str | None, default_s: float) -> float:
    from tiphys.apiserver.configfile import seconds

    if text is None:
        return default_s
    try:
        return max(0.0, seconds(text))
    except ValueError as error:
        raise ClusterError(f"--ttl: {error}", "for example 2h") from error


async def _share_keys(
    data: DataDirectory, settings: ClusterSettings, client: RestClient, token: BootstrapToken, made: object
) -> str:
    """Put the keys, sealed, where the token may read them; returns the key that opens them."""
    from tiphys.api.errors import NotFound
    from tiphys.api.kind import new
    from tiphys.api.kinds import SECRET
    from tiphys.api.kinds.core.secret import Secret
    from tiphys.api.meta.types import OwnerReference
    from tiphys.cluster.joining import keys
    from tiphys.cluster.joining.etcd import client_urls
    from tiphys.cluster.joining.published import KEYS

    if settings.etcd is None:
        raise ClusterError(*_EMBEDDED)
    key = keys.new_key()
    bundle = keys.gather(data, settings, await client_urls(settings.etcd))
    namespace, name = KEYS
    secret: Secret = new(SECRET, name, namespace, type="Opaque", data=keys.seal(bundle, key))
    if isinstance(made, Secret):
        secret.metadata.owner_references = [
            OwnerReference(api_version="v1", kind="Secret", name=token.secret_name, uid=made.metadata.uid)
        ]
    with contextlib.suppress(NotFound):
        await client.delete(SECRET, name, namespace)
    await client.create(SECRET, secret)
    return key


_EMBEDDED = (
    "this cluster keeps its objects in an embedded store, which one control plane alone can use",
    "`tiphys up --etcd managed` from the beginning, or `tiphys store migrate` (docs/high-availability.md)",
)


async def _signed(client: RestClient, token: BootstrapToken) -> None:
    """Wait until the token's signature is published: only then does the line work."""
    from tiphys.api.errors import NotFound
    from tiphys.api.kinds import CONFIGMAP
    from tiphys.cluster.joining.published import INFO

    for _ in range(150):
        try:
            info = await client.get(CONFIGMAP, INFO[1], INFO[0])
            if f"jws-kubeconfig-{token.id}" in info.data:
                return
        except NotFound:
            pass
        await asyncio.sleep(0.1)
    raise ClusterError("the cluster does not sign the token: no control plane leads", "`tiphys status` tells what runs")


async def _list(client: RestClient) -> None:
    from tiphys.api.kinds import SECRET
    from tiphys.controllers._bootstrap_tokens import NAMESPACE, TYPE, value

    print(f"{'ID':8}{'EXPIRES':22}DESCRIPTION")
    listing = await client.list(SECRET, NAMESPACE, field_selector=f"type={TYPE}")
    for secret in listing.items:
        ends = value(secret, "expiration") or "never"
        print(f"{value(secret, 'token-id'):8}{ends:22}{value(secret, 'description')}")


async def _delete(name: str, client: RestClient) -> None:
    from tiphys.api.kinds import SECRET
    from tiphys.controllers._bootstrap_tokens import NAMESPACE

    if not name:
        raise ClusterError("which token?", "`tiphys token ls` lists them")
    token_id = name.partition(".")[0]
    await client.delete(SECRET, f"bootstrap-token-{token_id}", NAMESPACE)
    print(f"token {token_id} is deleted")
