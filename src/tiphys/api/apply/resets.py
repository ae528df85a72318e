"""What each path of each built-in kind resets, so that nobody owns it through that path.

Source: the GetResetFields of pkg/registry/*/*/strategy.go.
"""

from __future__ import annotations

from collections.abc import Mapping

Path = tuple[str, ...]
Resets = Mapping[str, tuple[Path, ...]]
"""By subresource; the object's own path is empty, and stands for every subresource that is not listed."""

USUAL: Resets = {"": (("status",),), "status": (("spec",),)}
_NO_METADATA: Resets = {"": (("status",),), "status": (("metadata",), ("spec",))}
_BY_RESOURCE: Mapping[str, Resets] = {
    **dict.fromkeys(
        (
            "apiservices.apiregistration.k8s.io", "devicetaintrules.resource.k8s.io",
            "flowschemas.flowcontrol.apiserver.k8s.io", "podgroups.scheduling.k8s.io",
            "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "resourceclaims.resource.k8s.io",
            "resourcepoolstatusrequests.resource.k8s.io", "servicecidrs.networking.k8s.io",
            "storageversionmigrations.storagemigration.k8s.io", "storageversions.internal.apiserver.k8s.io",
            "volumeattachments.storage.k8s.io",
        ),
        _NO_METADATA,
    ),
    "certificatesigningrequests.certificates.k8s.io": {
        "": (("spec",), ("status",)),
        "status": (("spec",), ("status", "conditions")),
        "approval": (("spec",), ("status", "certificate")),
    },
    "pods": {
        "": (("status",),),
        "status": (("spec",), ("metadata", "deletionTimestamp"), ("metadata", "ownerReferences")),
    },
}  # fmt: skip


def resets_of(group_resource: str) -> Resets:
    """Of a kind by the name of its resource: `pods`, `deployments.apps`."""
    return _BY_RESOURCE.get(group_resource, USUAL)
