"""Bootstrap tokens `id.secret`: made, read, listed. Kept as Secrets of kube-system, as upstream's.

Source: staging/src/k8s.io/cluster-bootstrap/token, cmd/kubeadm/app/cmd/token.go.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from tiphys.api.kind import new
from tiphys.api.kinds import SECRET
from tiphys.api.kinds.core.secret import Secret
from tiphys.base.clock import rfc3339
from tiphys.cluster.failure import ClusterError
from tiphys.controllers._bootstrap_tokens import NAMESPACE, TYPE

NODES_GROUP = "system:bootstrappers:tiphys:nodes"
"""Who presents a token may ask for a node's certificate."""
CONTROL_PLANES_GROUP = "system:bootstrappers:tiphys:control-planes"
"""Who presents a token of this group may also read the cluster's keys, which another key encrypts."""
_ALPHABET = string.ascii_lowercase + string.digits
_PATTERN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")


class BootstrapToken(msgspec.Struct, frozen=True):
    """`id` is public, `secret` is not."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"

    def __repr__(self) -> str:
        return f"BootstrapToken({self.id})"

    @property
    def secret_name(self) -> str:
        return f"bootstrap-token-{self.id}"


def generate() -> BootstrapToken:
    def random(length: int) -> str:
        return "".join(secrets.choice(_ALPHABET) for _ in range(length))

    return BootstrapToken(random(6), random(16))


def parse(text: str) -> BootstrapToken:
    """Raises ClusterError."""
    found = _PATTERN.fullmatch(text.strip())
    if found is None:
        raise ClusterError(
            "this is no token: one has 6 and 16 lower-case letters and digits, with a dot between",
            "`tiphys token create` on a control plane prints one",
        )
    return BootstrapToken(found[1], found[2])


def secret_of(token: BootstrapToken, groups: Iterable[str], now: datetime, ttl_s: float, description: str) -> Secret:
    """The Secret that makes `token` good. `ttl_s` of 0: it never ends."""
    data = {
        "token-id": token.id,
        "token-secret": token.secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": ",".join(groups),
        "description": description,
    }
    if ttl_s:
        data["expiration"] = rfc3339(now + timedelta(seconds=ttl_s))
    encoded = {name: text.encode() for name, text in data.items()}
    made: Secret = new(SECRET, token.secret_name, NAMESPACE, type=TYPE, data=encoded)
    return made
