"""What every handler needs, in one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tiphys.api.errors import BadRequest
from tiphys.api.kind import Kind
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.chain.authn import Authenticator
from tiphys.apiserver.registry.interface import Admission, Registry
from tiphys.apiserver.request import RequestInfo
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.base.clock import Clock

if TYPE_CHECKING:
    from tiphys.apiserver.streaming.kubelet import KubeletConnector
    from tiphys.apiserver.webhooks.client import WebhookClient


class Context(msgspec.Struct, frozen=True):
    """The parts of the server that handlers use."""

    settings: ApiServerSettings
    registry: Registry
    admission: Admission
    authorizer: Authorizer
    authenticator: Authenticator
    clock: Clock
    kubelets: KubeletConnector
    webhooks: WebhookClient


def namespace_of(kind: Kind[Any], info: RequestInfo) -> str:
    """The namespace of a request on `kind`. Raises BadRequest where one is needed and missing."""
    if not kind.namespaced:
        return ""
    if not info.namespace and (info.name or info.verb == "create"):
        raise BadRequest(
            "an empty namespace may not be set during creation"
            if info.verb == "create"
            else "Namespace parameter required."
        )
    return info.namespace
