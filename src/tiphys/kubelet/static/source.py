"""Static pods from bytes: decoded, defaulted, validated, named after the node. Pure.

Source: pkg/kubelet/config/{common,file,http}.go.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from tiphys.api.codec import from_json
from tiphys.api.errors import ApiError, invalid_object
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import Toleration
from tiphys.kubelet.references import config_maps_of, secrets_of

SOURCE = "kubernetes.io/config.source"
HASH = "kubernetes.io/config.hash"
SEEN = "kubernetes.io/config.seen"
MIRROR = "kubernetes.io/config.mirror"
MAX_BYTES = 10 << 20


class BadManifest(Exception):
    """`str()` says why."""


def read_pods(data: bytes, origin: str, source: str, node_name: str, seen: str) -> list[Pod]:
    """The pods of a manifest: a Pod or, from a URL, a PodList. `origin` is the path or URL, `source` `file` or `http`.

    Raises BadManifest. The same content at the same place on the same node gives the same UID.
    """
    import yaml

    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadManifest(f"couldn't parse as pod: {error}") from None
    if not isinstance(document, dict):
        raise BadManifest("couldn't parse as pod: the manifest is no object")
    kind = document.get("kind"), document.get("apiVersion")
    if kind == ("Pod", "v1"):
        return [_pod(document, origin, source, node_name, seen)]
    if kind in (("PodList", "v1"), ("List", "v1")):
        items = document.get("items") or []
        return [_pod({"kind": "Pod", "apiVersion": "v1", **item}, origin, source, node_name, seen) for item in items]
    raise BadManifest(f"invalid pod: {kind[1]}, Kind={kind[0]}")


def _pod(document: dict[str, Any], origin: str, source: str, node_name: str, seen: str) -> Pod:
    try:
        pod = from_json(Pod, document)
    except ApiError as error:
        raise BadManifest(f"couldn't parse as pod: {error.message}") from None
    meta = pod.metadata
    if not meta.name:
        raise BadManifest("invalid pod: name is needed for the pod")
    place = f"host:{node_name}file:{origin}" if source == "file" else f"url:{origin}"
    content = msgspec.json.encode(document, order="sorted")
    meta.uid = meta.uid or hashlib.blake2b(content + place.encode(), digest_size=16).hexdigest()
    meta.name = f"{meta.name}-{node_name.lower()}"
    meta.namespace = meta.namespace or "default"
    meta.annotations = {**meta.annotations, HASH: meta.uid, SOURCE: source, SEEN: seen}
    meta.generation = 1
    meta.creation_timestamp = seen
    pod.spec.node_name = node_name
    if source == "file":
        pod.spec.tolerations = [*pod.spec.tolerations, Toleration(operator="Exists", effect="NoExecute")]
    POD.default(pod)
    pod.status.phase = "Pending"
    problems = list(POD.validate(pod, None))
    if problems:
        raise BadManifest(f"invalid pod: {invalid_object('', 'Pod', meta.name, problems).message}")
    refused = reference_of(pod)
    if refused:
        raise BadManifest(f"static pods may not reference {refused}")
    return pod


def reference_of(pod: Pod) -> str:
    """Which kind of API object the pod needs, which a static pod must not; empty: none."""
    spec = pod.spec
    if spec.service_account_name:
        return "serviceaccounts"
    if secrets_of(pod) or spec.image_pull_secrets:
        return "secrets"
    if config_maps_of(pod):
        return "configmaps"
    if spec.resource_claims:
        return "resourceclaims"
    for volume in spec.volumes:
        if volume.persistent_volume_claim is not None or volume.ephemeral is not None:
            return "persistentvolumeclaims"
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.cluster_trust_bundle is not None:
                return "clustertrustbundles"
            if part.service_account_token is not None:
                return "serviceaccounts"
    return ""


def is_mirror(pod: Pod) -> bool:
    return MIRROR in pod.metadata.annotations


def mirror_of(pod: Pod, node_uid: str) -> Pod:
    """What the API is shown: the pod under its name, without the UID, owned by the node."""
    from tiphys.api.meta.schema import copy_of
    from tiphys.api.meta.types import ObjectMeta, OwnerReference

    made = copy_of(pod)
    meta = pod.metadata
    owner = OwnerReference(api_version="v1", kind="Node", name=pod.spec.node_name, uid=node_uid, controller=True)
    made.metadata = ObjectMeta(
        name=meta.name,
        namespace=meta.namespace,
        labels=dict(meta.labels),
        annotations={**meta.annotations, MIRROR: meta.uid},
        owner_references=[owner],
    )
    return made
