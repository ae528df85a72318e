"""Users from client certificates: CN is the name, each O a group, the `UID` attribute the uid.

TLS has already checked the chain, the dates and the purpose against our CA. Source: staging/src/k8s.io/apiserver/pkg/
authentication/request/x509.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tiphys.apiserver.request import User

AUTHENTICATED = "system:authenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


def user_of(ssl_object: Any) -> User | None:
    """Whom the peer's certificate names; None without a certificate or without a CN. Called once per connection."""
    der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    if not der:
        return None
    names: list[str] = []
    groups: list[str] = []
    uid = ""
    for relative in ssl_object.getpeercert().get("subject", ()):
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
