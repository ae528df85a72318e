"""What a StorageClass tells the provisioner beside the driver: file system and secrets. Pure.

Source: github.com/kubernetes-csi/external-provisioner (pkg/controller: the `csi.storage.k8s.io/` parameters).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from tiphys.api.csi.identity import Empty
from tiphys.api.csi.volume import MountVolume, Topology, TopologyRequirement, VolumeCapability, access_mode
from tiphys.api.kinds.core.persistentvolume import VolumeNodeAffinity
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.references import (
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    SecretReference,
    TopologySelectorTerm,
)

PREFIX = "csi.storage.k8s.io/"
FS_TYPE = f"{PREFIX}fstype"
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class BadParameters(Exception):
    """The class cannot be used for the claim; the text is for the user."""


def for_driver(parameters: Mapping[str, str]) -> dict[str, str]:
    """Without what is meant for the provisioner."""
    return {key: value for key, value in parameters.items() if not key.startswith(PREFIX)}


def secret(
    kind: str, parameters: Mapping[str, str], volume: str, claim: PersistentVolumeClaim
) -> SecretReference | None:
    """The secret of `provisioner`, `node-stage`, `node-publish`, ...; None: none is named. Raises BadParameters."""
    name = parameters.get(f"{PREFIX}{kind}-secret-name", "")
    namespace = parameters.get(f"{PREFIX}{kind}-secret-namespace", "")
    if not name and not namespace:
        return None
    if not name or not namespace:
        raise BadParameters(f"{kind}-secret-name and {kind}-secret-namespace must be given together")
    known = {"pv.name": volume, "pvc.name": claim.metadata.name, "pvc.namespace": claim.metadata.namespace}
    notes = {f"pvc.annotations['{key}']": value for key, value in claim.metadata.annotations.items()}
    return SecretReference(name=_filled(name, {**known, **notes}), namespace=_filled(namespace, known))


def _filled(template: str, known: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise BadParameters(f"error resolving value {template!r}: unknown token {found[1]!r}")
        return known[found[1]]

    return _VARIABLE.sub(value, template)


def capability(
    modes: Sequence[str], mode: str, fs_type: str, options: Sequence[str], *, writers: bool
) -> VolumeCapability:
    """`writers`: the driver has SINGLE_NODE_MULTI_WRITER."""
    access = access_mode(modes, distinguishes_writers=writers)
    if mode == "Block":
        return VolumeCapability(block=Empty(), access_mode=access)
    return VolumeCapability(mount=MountVolume(fs_type=fs_type, mount_flags=list(options)), access_mode=access)


def allowed(terms: Iterable[TopologySelectorTerm]) -> list[dict[str, str]]:
    """Every place that a class allows: one value for each of a term's keys.

    Source: external-provisioner pkg/controller/topology.go (flatten).
    """
    found = []
    for term in terms:
        keys = [each.key for each in term.match_label_expressions]
        found += [
            dict(zip(keys, values, strict=True))
            for values in product(*(each.values for each in term.match_label_expressions))
        ]
    return found


def requirement(
    places: Sequence[Mapping[str, str]], chosen: Mapping[str, str], *, strict: bool
) -> TopologyRequirement | None:
    """Where the volume may be, the chosen place first; None: anywhere. `strict`: at the chosen place only, for a driver
    whose volumes are each node's own."""
    segments = [dict(each) for each in dict.fromkeys(tuple(sorted(place.items())) for place in places if place)]
    if chosen:
        first = dict(sorted(chosen.items()))
        segments = [first] if strict else [first, *(each for each in segments if each != first)]
    if not segments:
        return None
    topologies = [Topology(segments=each) for each in segments]
    return TopologyRequirement(requisite=topologies, preferred=topologies)


def affinity(topologies: Sequence[Topology]) -> VolumeNodeAffinity | None:
    """Which nodes reach a volume that is in any of these places; None: all."""
    terms = [
        NodeSelectorTerm(
            match_expressions=[
                NodeSelectorRequirement(key=key, operator="In", values=[value])
                for key, value in sorted(each.segments.items())
            ]
        )
        for each in topologies
        if each.segments
    ]
    return VolumeNodeAffinity(required=NodeSelector(node_selector_terms=terms)) if terms else None
