"""Is this the cluster that the token was made in? Asked before anything secret is sent.

Whoever joins knows an address, a token and the hash of the cluster's CA. From the address it reads, trusting nobody,
the public ConfigMap kube-public/cluster-info; the token's signature on it proves that its author knows the token, the
hash that its CA is the one meant. Only then is the CA used.
Source: cmd/kubeadm/app/discovery/token, cmd/kubeadm/app/util/pubkeypin; RFC 7469, 2.4 (the hash).
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import ssl
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.joining.tokens import BootstrapToken
from tiphys.controllers.bootstrap_signer import signature

_TIMEOUT_S = 10.0
_SKEW_MAX = timedelta(minutes=5)
_BODY_MAX = 1 << 20
_ASK = "`tiphys token create` on a control plane prints the whole line"
_PATH = "/api/v1/namespaces/kube-public/configmaps/cluster-info"


class Found(msgspec.Struct, frozen=True):
    """A cluster that is the one meant."""

    server: str
    ca: bytes
    """PEM."""


def server_url(text: str) -> str:
    """`HOST`, `HOST:PORT` or `https://HOST:PORT` as a URL. Raises ClusterError."""
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port or 6443
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise ClusterError(f"{text!r} is not an API server's address", "write HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}"


def ca_hash(ca: bytes) -> str:
    """`sha256:` and the digest of the public key of a PEM certificate, in hex. Raises ValueError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_pem_x509_certificate(ca).public_key()
    return "sha256:" + hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def discover(server: str, token: BootstrapToken, pinned: str, now: datetime) -> Found:
    """Raises ClusterError: unreachable, no cluster, another cluster, a token that is not known, clocks apart."""
    body, date = _fetch(server, _unverified())
    compare_clocks(date, now)
    ca = verified_ca(body, token, pinned)
    # Once more, now sure of who answers.
    try:
        context = ssl.create_default_context(cadata=ca.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ClusterError(f"{server} publishes a CA that cannot be used: {error}") from error
    again, _ = _fetch(server, context)
    if verified_ca(again, token, pinned) != ca:
        raise ClusterError(f"{server} gave two different CAs: somebody stands between", _ASK)
    return Found(server, ca)


def verified_ca(info: bytes, token: BootstrapToken, pinned: str) -> bytes:
    """The CA in a cluster-info ConfigMap (JSON), after its signature and hash were checked. Raises ClusterError."""
    data: dict[str, Any] = _data(info)
    content = data.get("kubeconfig")
    if not isinstance(content, str) or not content:
        raise ClusterError("the server's cluster-info holds no kubeconfig", _ASK)
    given = data.get(f"jws-kubeconfig-{token.id}")
    if not isinstance(given, str):
        raise ClusterError(f"the cluster does not know the token {token.id}, or it has expired", _ASK)
    if not hmac.compare_digest(given, signature(content, token.id, token.secret)):
        raise ClusterError(f"the token {token.id} has another secret than the one given", _ASK)
    ca = _ca_of(content)
    try:
        found = ca_hash(ca)
    except ValueError as error:
        raise ClusterError(f"the cluster's CA cannot be read: {error}") from error
    if not hmac.compare_digest(found, pinned.lower()):
        raise ClusterError(
            f"this cluster's CA has the hash {found}, not {pinned}: it is another cluster, or somebody stands between",
            _ASK,
        )
    return ca


def _data(info: bytes) -> dict[str, Any]:
    try:
        found = json.loads(info)["data"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise ClusterError("the server's cluster-info cannot be read", "is it a Kubernetes API server?")
    return found


def _ca_of(content: str) -> bytes:
    import base64

    import yaml

    try:
        clusters = yaml.safe_load(content)["clusters"]
        return base64.b64decode(clusters[0]["cluster"]["certificate-authority-data"], validate=True)
    except (yaml.YAMLError, ValueError, LookupError, TypeError) as error:
        raise ClusterError("the kubeconfig in cluster-info names no CA", _ASK) from error


def _unverified() -> ssl.SSLContext:
    """What is read with this is believed only as far as it is signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _fetch(server: str, context: ssl.SSLContext) -> tuple[bytes, str]:
    """(cluster-info, the Date header)"""
    parts = urlsplit(server)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", _PATH, headers={"Accept": "application/json", "User-Agent": "tiphys-join"})
        answer = connection.getresponse()
        body, status, date = answer.read(_BODY_MAX), answer.status, answer.getheader("Date", "")
    except ssl.SSLCertVerificationError as error:
        raise ClusterError(
            f"{server} shows a certificate that the cluster's CA does not vouch for: {error.verify_message}",
            "is the address one of this cluster's API servers, and this machine's clock right?",
        ) from error
    except ssl.SSLError as error:
        raise ClusterError(
            f"{server} does not speak TLS: {error.reason}", "is the port that of the API server?"
        ) from error
    except (TimeoutError, socket.gaierror, OSError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise ClusterError(
            f"no API server can be reached at {server}: {why}",
            "is it running, and do firewalls let this machine through?",
        ) from error
    except http.client.HTTPException as error:
        raise ClusterError(f"{server} does not speak HTTP", "is the port that of the API server?") from error
    finally:
        connection.close()
    if status != 200:
        raise ClusterError(f"{server} publishes no cluster-info (it answers {status})", _ASK)
    return body, date or ""


def compare_clocks(date: str, now: datetime) -> None:
    """`date` is a server's Date header; one that cannot be read says nothing. Raises ClusterError."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return
    apart = now - theirs
    if abs(apart) > _SKEW_MAX:
        way = "ahead of" if apart > timedelta(0) else "behind"
        raise ClusterError(
            f"this machine's clock is {_words(abs(apart))} {way} the cluster's: no certificate would be good on both",
            "set the clock (timedatectl set-ntp true), then join again",
        )


def _words(apart: timedelta) -> str:
    minutes = int(apart.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 2 * 24 * 60 else f"{minutes // (24 * 60)} days"
