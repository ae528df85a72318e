"""The controllers that there are. A new one is one import and one line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.controllers import (
    attach_detach,
    bootstrap_signer,
    clusterrole_aggregation,
    clustertrustbundle_publisher,
    cronjob,
    csr_approving,
    csr_cleaner,
    csr_signing,
    daemonset,
    deployment,
    device_taint_eviction,
    disruption,
    endpoints,
    endpointslice,
    endpointslice_mirroring,
    ephemeral_volume,
    garbage_collector,
    horizontalpodautoscaler,
    job,
    legacy_token_cleaner,
    local_path,
    namespace,
    node_certificates_approving,
    node_ipam,
    node_lifecycle,
    node_ttl,
    persistentvolume_binder,
    pod_gc,
    podcertificaterequest_cleaner,
    pv_protection,
    pvc_protection,
    replicaset,
    replicationcontroller,
    resourceclaim,
    resourcequota,
    root_ca,
    service_ip_repair,
    serviceaccount,
    serviceaccount_token,
    servicecidr,
    statefulset,
    storage_version_migrator,
    taint_eviction,
    token_cleaner,
    ttl_after_finished,
    vac_protection,
    validatingadmissionpolicy_status,
    volume_expand,
)
from tiphys.controllers._spec import ControllerSpec

CONTROLLERS: tuple[ControllerSpec[Any], ...] = (
    namespace.SPEC,
    serviceaccount.SPEC,
    serviceaccount_token.SPEC,
    legacy_token_cleaner.SPEC,
    clusterrole_aggregation.SPEC,
    csr_approving.SPEC,
    node_certificates_approving.SPEC,
    csr_signing.SPEC,
    csr_cleaner.SPEC,
    podcertificaterequest_cleaner.SPEC,
    bootstrap_signer.SPEC,
    token_cleaner.SPEC,
    root_ca.SPEC,
    clustertrustbundle_publisher.SPEC,
    garbage_collector.SPEC,
    replicaset.SPEC,
    replicationcontroller.SPEC,
    deployment.SPEC,
    statefulset.SPEC,
    daemonset.SPEC,
    job.SPEC,
    cronjob.SPEC,
    ttl_after_finished.SPEC,
    disruption.SPEC,
    horizontalpodautoscaler.SPEC,
    endpoints.SPEC,
    endpointslice.SPEC,
    node_lifecycle.SPEC,
    taint_eviction.SPEC,
    device_taint_eviction.SPEC,
    pod_gc.SPEC,
    pvc_protection.SPEC,
    pv_protection.SPEC,
    vac_protection.SPEC,
    node_ipam.SPEC,
    resourcequota.SPEC,
    validatingadmissionpolicy_status.SPEC,
    servicecidr.SPEC,
    service_ip_repair.SPEC,
    endpointslice_mirroring.SPEC,
    persistentvolume_binder.SPEC,
    local_path.SPEC,
    ephemeral_volume.SPEC,
    resourceclaim.SPEC,
    attach_detach.SPEC,
    node_ttl.SPEC,
    volume_expand.SPEC,
    storage_version_migrator.SPEC,
)


def selected(controllers: Sequence[ControllerSpec[Any]], wanted: Sequence[str]) -> tuple[ControllerSpec[Any], ...]:
    """Those of `controllers` that `wanted` chooses: `*` is all that are on by default, `name` one more, `-name` one
    less. Names and aliases serve; of two words about one controller the first counts.

    Raises ValueError for an unknown or doubly used name.
    """
    names: dict[str, str] = {}
    for spec in controllers:
        for name in {spec.name, spec.alias} - {""}:
            if name in names:
                raise ValueError(f"two controllers are called {name!r}")
            names[name] = spec.name
    chosen: dict[str, bool] = {}
    for word in wanted:
        if word == "*":
            continue
        known = names.get(word.removeprefix("-"))
        if known is None:
            raise ValueError(f"{word.removeprefix('-')!r} is not in the list of known controllers")
        chosen.setdefault(known, not word.startswith("-"))
    rest = "*" in wanted
    return tuple(spec for spec in controllers if chosen.get(spec.name, rest and spec.on_by_default))
