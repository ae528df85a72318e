"""What the files of configMap, secret, downwardAPI and projected volumes contain. Pure.

Source: pkg/volume/{configmap,secret,downwardapi,projected}; messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiphys.api.kinds.core.configmap import ConfigMap
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import DownwardAPIVolumeFile
from tiphys.api.kinds.core.references import KeyToPath
from tiphys.api.kinds.core.secret import Secret
from tiphys.kubelet.fieldrefs import UnknownField, field_value, resource_value
from tiphys.kubelet.volumes.atomic import Content

DEFAULT_MODE = 0o644


class BadVolume(Exception):
    """A volume cannot be made as things are. The text goes into the FailedMount event."""


def config_map_bytes(config_map: ConfigMap) -> dict[str, bytes]:
    """Text and binary keys together."""
    return {key: text.encode() for key, text in config_map.data.items()} | dict(config_map.binary_data)


def keyed_files(
    kind: str,
    namespace: str,
    name: str,
    data: Mapping[str, bytes] | None,
    items: Sequence[KeyToPath],
    mode: int,
    *,
    optional: bool,
) -> dict[str, Content]:
    """Files of a ConfigMap or Secret; `data` None: it does not exist. Raises BadVolume."""
    if data is None:
        if optional:
            return {}
        raise BadVolume(f'{kind} "{name}" not found')
    if not items:
        return {key: Content(content, mode) for key, content in data.items()}
    files = {}
    for item in items:
        content = data.get(item.key)
        if content is None:
            if optional:
                continue
            what = "non-existent config key: " if kind == "configmap" else "non-existent secret key: "
            raise BadVolume(
                f"{kind} references {what}{item.key}" if kind == "configmap" else f"references {what}{item.key}"
            )
        files[item.path] = Content(content, item.mode if item.mode is not None else mode)
    return files


def secret_bytes(secret: Secret | None) -> Mapping[str, bytes] | None:
    return secret.data if secret is not None else None


def downward_files(
    pod: Pod, items: Sequence[DownwardAPIVolumeFile], mode: int, allocatable: Mapping[str, str]
) -> dict[str, Content]:
    """Raises BadVolume."""
    files = {}
    for item in items:
        try:
            if item.field_ref is not None:
                text = field_value(pod, item.field_ref.field_path)
            elif item.resource_field_ref is not None:
                text = resource_value(pod, item.resource_field_ref, allocatable)
            else:
                continue
        except UnknownField as error:
            raise BadVolume(str(error)) from None
        files[item.path] = Content(text.encode(), item.mode if item.mode is not None else mode)
    return files
