"""ServiceAccount: every pod runs as one, and finds its token, the cluster's CA and its namespace in a volume.

Source: plugin/pkg/admission/serviceaccount.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import POD, SERVICEACCOUNT
from tiphys.api.kinds.core.pod.containers import VolumeMount
from tiphys.api.kinds.core.pod.volumes import (
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from tiphys.api.kinds.core.references import KeyToPath, LocalObjectReference, ObjectFieldSelector
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.node import MIRROR_ANNOTATION, references
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest, Entry
from tiphys.apiserver.registry.metadata import random_letters

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_LIFETIME_S = 3607
"""Upstream's odd number: by it the token request knows an automounted token and extends its life."""
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_DEFAULT_MODE = 0o644
_WAIT_S = 1.5
"""How long a pod waits for the `default` account of a new namespace, which a controller makes."""


class ServiceAccountPlugin(Plugin):
    name = "ServiceAccount"

    def __init__(self, caches: Caches) -> None:
        self._accounts = caches.cache_of(SERVICEACCOUNT)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation == "CREATE" and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.obj
        if MIRROR_ANNOTATION in pod.metadata.annotations:
            return
        if not pod.spec.service_account_name:
            pod.spec.service_account_name = DEFAULT
        # The deprecated alias follows the name, as upstream's conversion keeps it.
        pod.spec.service_account = pod.spec.service_account_name
        account = await self._account(request, pod.spec.service_account_name)
        if _automounts(account, pod):
            mount_token(pod)
        if not pod.spec.image_pull_secrets:
            pod.spec.image_pull_secrets = [
                LocalObjectReference(name=reference.name) for reference in account.image_pull_secrets
            ]

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.obj
        if MIRROR_ANNOTATION in pod.metadata.annotations:
            self._check_mirror(request)
            return
        if not pod.spec.service_account_name:
            raise refuse(request, f"no service account specified for pod {request.namespace}/{pod.metadata.name}")
        account = await self._account(request, pod.spec.service_account_name)
        if account.metadata.annotations.get(_MOUNTABLE) == "true":
            _check_mountable(request, account)

    @staticmethod
    def _check_mirror(request: AdmissionRequest) -> None:
        pod = request.obj
        if pod.spec.service_account_name:
            raise refuse(request, "a mirror pod may not reference service accounts")
        plain = {key: value for key, value in pod.metadata.annotations.items() if key != MIRROR_ANNOTATION}
        if any(resource == "secrets" for resource, _ in _references_without(pod, plain)):
            raise refuse(request, "a mirror pod may not reference secrets")
        for volume in pod.spec.volumes:
            if volume.projected and any(source.service_account_token for source in volume.projected.sources):
                raise refuse(request, "a mirror pod may not use ServiceAccountToken volume projections")

    async def _account(self, request: AdmissionRequest, name: str) -> Any:
        namespace = request.namespace
        entry = self._accounts.get(namespace, name)
        if entry is None and name == DEFAULT:
            entry = await self._arrival(namespace, name)
        if entry is None:
            raise refuse(
                request,
                f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found',
            )
        return entry.obj

    async def _arrival(self, namespace: str, name: str) -> Entry | None:
        """The account once it is created, or None after `_WAIT_S`."""
        arrived: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()

        def look(_type: str, new: Entry | None, _old: Entry | None) -> None:
            if new is not None and new.name == name and new.namespace == namespace and not arrived.done():
                arrived.set_result(new)

        stop = self._accounts.subscribe(look)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_S):
                    return await arrived
            return None
        finally:
            stop()


def _references_without(pod: Any, annotations: dict[str, str]) -> set[tuple[str, str]]:
    kept, pod.metadata.annotations = pod.metadata.annotations, annotations
    try:
        return references(pod)
    finally:
        pod.metadata.annotations = kept


def _automounts(account: Any, pod: Any) -> bool:
    """The pod's word, else the account's, else yes."""
    for stated in (pod.spec.automount_service_account_token, account.automount_service_account_token):
        if stated is not None:
            return bool(stated)
    return True


def mount_token(pod: Any) -> None:
    """Give every container that has nothing at the well-known path the token volume, adding the volume if needed."""
    name = next((v.name for v in pod.spec.volumes if v.name.startswith(VOLUME_PREFIX)), "")
    present = bool(name)
    if not present:
        name = VOLUME_PREFIX + random_letters(5)
    needed = False
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        if not any(mount.mount_path == MOUNT_PATH for mount in container.volume_mounts):
            container.volume_mounts.append(VolumeMount(name=name, read_only=True, mount_path=MOUNT_PATH))
            needed = True
    if needed and not present:
        pod.spec.volumes.append(Volume(name=name, projected=token_volume()))


def token_volume() -> ProjectedVolumeSource:
    """token, ca.crt and namespace in one projected volume."""
    return ProjectedVolumeSource(
        default_mode=_DEFAULT_MODE,
        sources=[
            VolumeProjection(
                service_account_token=ServiceAccountTokenProjection(path="token", expiration_seconds=TOKEN_LIFETIME_S)
            ),
            VolumeProjection(
                config_map=ConfigMapProjection(name="kube-root-ca.crt", items=[KeyToPath(key="ca.crt", path="ca.crt")])
            ),
            VolumeProjection(
                downward_api=DownwardAPIProjection(
                    items=[
                        DownwardAPIVolumeFile(
                            path="namespace",
                            field_ref=ObjectFieldSelector(api_version="v1", field_path="metadata.namespace"),
                        )
                    ]
                )
            ),
        ],
    )


def _check_mountable(request: AdmissionRequest, account: Any) -> None:
    """An account that enforces it lends its pods only the secrets that it names."""
    named = {reference.name for reference in account.secrets}
    pulls = {reference.name for reference in account.image_pull_secrets}
    spec, who = request.obj.spec, account.metadata.name
    tail = f"is not allowed because service account {who} does not reference that secret"
    for volume in spec.volumes:
        if volume.secret is not None and volume.secret.secret_name not in named:
            raise refuse(request, f'volume with secret.secretName="{volume.secret.secret_name}" {tail}')
    for prefix, containers in (("init container", spec.init_containers), ("container", spec.containers)):
        for container in containers:
            for env in container.env:
                ref = env.value_from.secret_key_ref if env.value_from is not None else None
                if ref is not None and ref.name not in named:
                    raise refuse(
                        request,
                        f"{prefix} {container.name} with envVar {env.name} referencing "
                        f'secret.secretName="{ref.name}" {tail}',
                    )
            for whole in container.env_from:
                if whole.secret_ref is not None and whole.secret_ref.name not in named:
                    raise refuse(
                        request,
                        f"{prefix} {container.name} with envFrom referencing "
                        f'secret.secretName="{whole.secret_ref.name}" {tail}',
                    )
    for index, reference in enumerate(spec.image_pull_secrets):
        if reference.name not in pulls:
            raise refuse(
                request,
                f'imagePullSecrets[{index}].name="{reference.name}" is not allowed because service account {who} '
                "does not reference that imagePullSecret",
            )
