"""Users from client certificates: CN is the name, each O a group, the `UID` attribute the uid.

TLS has already checked the chain, the dates and the purpose against the CAs that we trust: those of clients, and those
of front proxies, whose certificates may name others in headers. Which of the two issued a certificate is told here.
Source: staging/src/k8s.io/apiserver/pkg/authentication/request/x509.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable
from typing import Any

from tiphys.apiserver.request import User

AUTHENTICATED = "system:authenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

Name = tuple[tuple[tuple[str, str], ...], ...]
"""A distinguished name as the ssl module shows it."""


class FrontProxy(User, frozen=True):
    """Whoever holds a certificate of the request-header CA; `name` is its CN. Not a user by itself."""

    client: User | None = None
    """The same certificate's user, where one CA serves both purposes."""


class ServingContext(ssl.SSLContext):
    """TLS of our listeners, and the names of the CAs that it trusts for either purpose."""

    client_issuers: frozenset[Name] = frozenset()
    proxy_issuers: frozenset[Name] = frozenset()

    def trust(self, client_cas: Iterable[bytes], proxy_cas: Iterable[bytes]) -> None:
        """PEM bundles. Raises ssl.SSLError, ValueError for what is none."""
        self.client_issuers, self.proxy_issuers = _subjects(client_cas), _subjects(proxy_cas)
        for pem in (*client_cas, *proxy_cas):
            self.load_verify_locations(cadata=pem.decode("ascii"))


def _subjects(bundles: Iterable[bytes]) -> frozenset[Name]:
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for pem in bundles:
        probe.load_verify_locations(cadata=pem.decode("ascii"))
    return frozenset(ca["subject"] for ca in probe.get_ca_certs())  # type: ignore[misc] # a dict, not bytes


def user_of(ssl_object: Any) -> User | None:
    """Whom the peer's certificate names; None without a certificate or without a CN. Called once per connection."""
    der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    if not der:
        return None
    peer = ssl_object.getpeercert()
    user = _named(peer, der)
    context = ssl_object.context
    if user is None or not isinstance(context, ServingContext):
        return user
    issuer = peer.get("issuer", ())
    is_client, is_proxy = issuer in context.client_issuers, issuer in context.proxy_issuers
    if not is_client and not is_proxy:
        # Issued by an intermediate: the chain's root tells.
        roots = _root_names(ssl_object)
        is_client, is_proxy = bool(roots & context.client_issuers), bool(roots & context.proxy_issuers)
    if is_proxy:
        return FrontProxy(user.name, client=user if is_client else None)
    return user if is_client else None


def _root_names(ssl_object: Any) -> frozenset[Name]:
    inner: Any = getattr(ssl_object, "_sslobj", None)
    chain = inner.get_verified_chain() if hasattr(inner, "get_verified_chain") else []
    return frozenset(certificate.get_info()["issuer"] for certificate in chain or [])


def _named(peer: Any, der: bytes) -> User | None:
    names: list[str] = []
    groups: list[str] = []
    uid = ""
    for relative in peer.get("subject", ()):
        for attribute, value in relative:
            if attribute == "commonName":
                names.append(value)
            elif attribute == "organizationName":
                groups.append(value)
            elif attribute == "1.3.6.1.4.1.57683.2":
                uid = value
    if not names or not names[0]:
        return None
    credential = f"X509SHA256={hashlib.sha256(der).hexdigest()}"
    if AUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(names[0], uid, tuple(groups), {CREDENTIAL_ID: (credential,)})
