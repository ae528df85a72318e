"""The server's own keys and certificates: made when missing, read when there.

A lone API server makes its own CA; `tiphys up` makes the files beforehand and the server finds them.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from datetime import datetime

import msgspec

from tiphys.apiserver.authz.authorizer import MASTERS
from tiphys.apiserver.chain.certificates import ServingContext
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.base import pki
from tiphys.base.pki import PairPaths

_WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 # recognised, not bound


class Identity(msgspec.Struct, frozen=True):
    """What the server needs in memory of its files."""

    ca: bytes
    """PEM: whose client certificates are believed."""
    front_proxy_ca: bytes
    """PEM: whose client certificates may name others in headers."""
    signing_key: bytes
    other_keys: tuple[bytes, ...] = ()
    """Further keys that service-account tokens may be signed with."""


def advertised(settings: ApiServerSettings) -> str:
    """The address that the `kubernetes` Service leads to."""
    if settings.advertise_address:
        return settings.advertise_address
    for bind in settings.binds:
        if bind.host not in _WILDCARDS and bind.host != "localhost":
            return bind.host
    return _default_address()


def _default_address() -> str:
    """The address of the interface with the default route; loopback without one. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def serving_names(settings: ApiServerSettings) -> list[str]:
    """Everything that clients may call us: the Service's names, its address, what we listen on."""
    domain = settings.cluster_domain
    service_ip = str(ipaddress.ip_network(settings.service_cidr.partition(",")[0])[1])
    names = [
        "kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}", "localhost",
        "127.0.0.1", "::1", service_ip, advertised(settings), *settings.server_names,
    ]  # fmt: skip
    names += [bind.host for bind in settings.binds if bind.host not in _WILDCARDS]
    return list(dict.fromkeys(names))


def prepare(settings: ApiServerSettings, now: datetime) -> Identity:
    """Make what is missing. Raises OSError, and ValueError where a file is not what its name says."""
    paths = settings.pki
    ca = pki.load_or_create_ca(PairPaths(paths.ca_cert, paths.ca_key), "tiphys", now=now)
    front = pki.load_or_create_ca(
        PairPaths(paths.front_proxy_ca_cert, paths.front_proxy_ca_key), "tiphys-front-proxy", now=now
    )
    pki.load_or_create_server(
        PairPaths(paths.server_cert, paths.server_key), ca, "kube-apiserver", serving_names(settings), now=now
    )
    pki.load_or_create_client(
        PairPaths(paths.kubelet_client_cert, paths.kubelet_client_key), ca, "kube-apiserver-kubelet-client",
        (MASTERS,), now=now,
    )  # fmt: skip
    pki.load_or_create_client(
        PairPaths(paths.front_proxy_client_cert, paths.front_proxy_client_key), front, "front-proxy-client", (),
        now=now,
    )  # fmt: skip
    key = pki.load_or_create_signing_key(paths.service_account_key)
    wanted = settings.security.authentication
    return Identity(
        wanted.client_ca_file.read_bytes() if wanted.client_ca_file else ca.certificate,
        wanted.requestheader_ca_file.read_bytes() if wanted.requestheader_ca_file else front.certificate,
        key,
        tuple(path.read_bytes() for path in settings.service_account_key_files),
    )


def serving_tls(settings: ApiServerSettings, own: Identity) -> ServingContext:
    """TLS for listeners: a client certificate is welcome, not required; one that no CA of ours signed is refused.

    Raises ValueError for a CA that is none.
    """
    paths = settings.pki
    context = ServingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(paths.server_cert, paths.server_key)
    try:
        context.trust([own.ca], [own.front_proxy_ca])
    except ssl.SSLError as error:
        raise ValueError(f"client-ca-file or requestheader-client-ca-file: {error}") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    # Two tickets per handshake is two writes more; clients here keep their connections.
    context.num_tickets = 1
    return context
