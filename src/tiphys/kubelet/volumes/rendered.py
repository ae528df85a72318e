"""What the volumes that show API objects contain at this moment: configMap, secret, downwardAPI, projected.

Source: pkg/volume/projected/projected.go, pkg/kubelet/clustertrustbundle.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.errors import NotFound
from tiphys.api.kinds import CLUSTERTRUSTBUNDLE
from tiphys.api.kinds.certificates.clustertrustbundle import ClusterTrustBundle
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import (
    ClusterTrustBundleProjection,
    ProjectedVolumeSource,
    Volume,
    VolumeProjection,
)
from tiphys.api.labels import selector_of
from tiphys.client.interface import Client
from tiphys.kubelet.references import References
from tiphys.kubelet.volumes import content
from tiphys.kubelet.volumes.atomic import Content
from tiphys.kubelet.volumes.content import DEFAULT_MODE, BadVolume
from tiphys.kubelet.volumes.tokens import Tokens

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class Rendered:
    """Reads what the files need. Every method raises BadVolume and ApiError."""

    def __init__(self, client: Client, references: References, tokens: Tokens, allocatable: Mapping[str, str]) -> None:
        self._client, self._references, self._tokens = client, references, tokens
        self._allocatable = allocatable

    async def files(self, pod: Pod, volume: Volume) -> dict[str, Content]:
        """By path."""
        namespace = pod.metadata.namespace
        if (config := volume.config_map) is not None:
            found = await self._references.config_map(namespace, config.name)
            data = content.config_map_bytes(found) if found is not None else None
            mode, optional = _mode(config.default_mode), bool(config.optional)
            return content.keyed_files("configmap", namespace, config.name, data, config.items, mode, optional=optional)
        if (secret := volume.secret) is not None:
            kept = content.secret_bytes(await self._references.secret(namespace, secret.secret_name))
            mode, optional = _mode(secret.default_mode), bool(secret.optional)
            name = secret.secret_name
            return content.keyed_files("secret", namespace, name, kept, secret.items, mode, optional=optional)
        if (downward := volume.downward_api) is not None:
            return content.downward_files(pod, downward.items, _mode(downward.default_mode), self._allocatable)
        source = volume.projected or ProjectedVolumeSource()
        files: dict[str, Content] = {}
        for part in source.sources:
            files |= await self._part(pod, part, _mode(source.default_mode))
        return files

    async def _part(self, pod: Pod, part: VolumeProjection, mode: int) -> dict[str, Content]:
        namespace = pod.metadata.namespace
        if (config := part.config_map) is not None:
            found = await self._references.config_map(namespace, config.name)
            data = content.config_map_bytes(found) if found is not None else None
            optional = bool(config.optional)
            return content.keyed_files("configmap", namespace, config.name, data, config.items, mode, optional=optional)
        if (secret := part.secret) is not None:
            kept = content.secret_bytes(await self._references.secret(namespace, secret.name))
            optional = bool(secret.optional)
            return content.keyed_files("secret", namespace, secret.name, kept, secret.items, mode, optional=optional)
        if part.downward_api is not None:
            return content.downward_files(pod, part.downward_api.items, mode, self._allocatable)
        if (token := part.service_account_token) is not None:
            return {token.path: token_content(pod, await self._tokens.token(pod, token), mode)}
        if (bundle := part.cluster_trust_bundle) is not None:
            return {bundle.path: Content((await self._anchors(bundle)).encode(), mode)}
        if part.pod_certificate is not None:
            raise BadVolume("PodCertificate projection is not supported by this node")
        return {}

    async def _anchors(self, source: ClusterTrustBundleProjection) -> str:
        """The certificates of all bundles meant, each once."""
        try:
            if source.name:
                bundles = [await self._client.get(CLUSTERTRUSTBUNDLE, source.name)]
            else:
                bundles = await self._bundles_of(source)
        except NotFound:
            if source.optional:
                return ""
            raise BadVolume(f'clustertrustbundle "{source.name or source.signer_name}" not found') from None
        if not bundles and not source.optional:
            raise BadVolume(f"combination of signerName {source.signer_name} and labelSelector matched zero bundles")
        return merged_anchors([bundle.spec.trust_bundle for bundle in bundles])

    async def _bundles_of(self, source: ClusterTrustBundleProjection) -> list[ClusterTrustBundle]:
        if source.label_selector is None:
            return []  # no selector means none of the signer's bundles, an empty one all
        signer = f"spec.signerName={source.signer_name}"
        listing = await self._client.list(CLUSTERTRUSTBUNDLE, field_selector=signer)
        selector = selector_of(source.label_selector)
        return [bundle for bundle in listing.items if selector.matches(bundle.metadata.labels)]


def merged_anchors(bundles: list[str]) -> str:
    """All certificates of PEM bundles, sorted so that the order tells nothing, each once. Pure."""
    found = set()
    for bundle in bundles:
        for part in bundle.split(_BEGIN)[1:]:
            found.add("".join(part.partition(_END)[0].split()))
    lines = []
    for body in sorted(found):
        lines += [_BEGIN, *(body[at : at + 64] for at in range(0, len(body), 64)), _END]
    return "\n".join(lines) + "\n" if lines else ""


def token_content(pod: Pod, token: str, mode: int) -> Content:
    """Only the pod's user may read it, if all its containers have the same; its fsGroup may; else everybody inside."""
    context = pod.spec.security_context
    if context is not None and context.fs_group is not None:
        return Content(token.encode(), 0o600)
    users = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        own = container.security_context.run_as_user if container.security_context else None
        users.add(own if own is not None else context.run_as_user if context else None)
    (user, *others) = users
    if user is not None and not others:
        return Content(token.encode(), 0o600, user)
    return Content(token.encode(), mode)


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode
