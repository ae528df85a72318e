"""A pod's volumes as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.describe.writer import NONE, Writer

_TYPES = {
    "emptyDir": "EmptyDir (a temporary directory that shares a pod's lifetime)",
    "hostPath": "HostPath (bare host directory volume)",
    "configMap": "ConfigMap (a volume populated by a ConfigMap)",
    "secret": "Secret (a volume populated by a Secret)",
    "projected": "Projected (a volume that contains injected data from multiple sources)",
    "downwardAPI": "DownwardAPI (a volume populated by information about the pod)",
    "persistentVolumeClaim": "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
    "nfs": "NFS (an NFS mount that lasts the lifetime of a pod)",
    "ephemeral": "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)",
    "csi": "CSI (a Container Storage Interface (CSI) volume source)",
    "image": "Image (a container image or OCI artifact)",
}


def write_volumes(out: Writer, volumes: list[dict[str, Any]]) -> None:
    """The Volumes section."""
    if not volumes:
        out.field(0, "Volumes", NONE)
        return
    out.line(0, "Volumes:")
    for volume in sorted(volumes, key=lambda item: str(item["name"])):
        kind = next((key for key in volume if key != "name"), "")
        out.line(1, f"{volume['name']}:")
        out.field(2, "Type", _TYPES.get(kind, "<unknown>"))
        _details(out, kind, volume.get(kind) or {})


def _details(out: Writer, kind: str, source: dict[str, Any]) -> None:
    match kind:
        case "emptyDir":
            out.field(2, "Medium", source.get("medium", ""))
            out.field(2, "SizeLimit", source.get("sizeLimit", "<unset>"))
        case "hostPath":
            out.field(2, "Path", source.get("path", ""))
            out.field(2, "HostPathType", source.get("type", ""))
        case "configMap":
            out.field(2, "Name", source.get("name", ""))
            out.field(2, "Optional", _flag(source.get("optional")))
        case "secret":
            out.field(2, "SecretName", source.get("secretName", ""))
            out.field(2, "Optional", _flag(source.get("optional")))
        case "persistentVolumeClaim":
            out.field(2, "ClaimName", source.get("claimName", ""))
            out.field(2, "ReadOnly", _flag(source.get("readOnly")))
        case "projected":
            _projected(out, source)
        case "downwardAPI":
            out.line(2, "Items:")
            for item in source.get("items") or ():
                field = (item.get("fieldRef") or item.get("resourceFieldRef") or {}).get("fieldPath", "")
                out.line(3, f"{field} -> {item['path']}")


def _projected(out: Writer, source: dict[str, Any]) -> None:
    for part in source.get("sources") or ():
        if secret := part.get("secret"):
            out.field(2, "SecretName", secret.get("name", ""))
            out.field(2, "Optional", _flag(secret.get("optional")))
        if config := part.get("configMap"):
            out.field(2, "ConfigMapName", config.get("name", ""))
            out.field(2, "Optional", _flag(config.get("optional")))
        if token := part.get("serviceAccountToken"):
            out.field(2, "TokenExpirationSeconds", token.get("expirationSeconds", ""))
        if part.get("downwardAPI"):
            out.field(2, "DownwardAPI", "true")


def _flag(value: Any) -> str:
    return str(bool(value)).lower()
