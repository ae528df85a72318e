"""The kubelet's settings as a KubeletConfiguration, for /configz.

Source: staging/src/k8s.io/kubelet/config/v1beta1/types.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.kubelet.backoff import go_duration
from tiphys.kubelet.settings import KubeletSettings


def configuration(settings: KubeletSettings) -> dict[str, Any]:
    """What of upstream's fields has a meaning here, at its present value."""
    certificate, key = settings.serving_cert, settings.serving_key
    return {
        "enableServer": certificate is not None,
        "address": settings.bind_address,
        "port": settings.port,
        "tlsCertFile": str(certificate or ""),
        "tlsPrivateKeyFile": str(key or ""),
        "authentication": {
            "x509": {"clientCAFile": str(settings.client_ca or "")},
            "webhook": {"enabled": True, "cacheTTL": "2m0s"},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"}},
        "clusterDomain": settings.cluster_domain,
        "clusterDNS": list(settings.cluster_dns),
        "resolvConf": str(settings.resolv_conf),
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": go_duration(settings.status_report_s),
        "nodeLeaseDurationSeconds": settings.lease_duration_s,
        "cgroupRoot": settings.cgroup_root,
        "cgroupsPerQOS": True,
        "cgroupDriver": "cgroupfs",
        "maxPods": settings.max_pods,
        "podPidsLimit": settings.pod_pids_limit or -1,
        "containerLogMaxSize": f"{settings.container_log_max_bytes >> 20}Mi",
        "containerLogMaxFiles": settings.container_log_max_files,
        "staticPodPath": str(settings.static_pod_path or ""),
        "staticPodURL": settings.static_pod_url,
        "evictionHard": dict(settings.eviction_hard),
        "evictionSoft": dict(settings.eviction_soft),
        "evictionSoftGracePeriod": dict(settings.eviction_soft_grace),
        "evictionMinimumReclaim": dict(settings.eviction_minimum_reclaim),
        "evictionMaxPodGracePeriod": settings.eviction_max_grace_s,
        "evictionPressureTransitionPeriod": go_duration(settings.eviction_transition_s),
        "imageGCHighThresholdPercent": settings.image_gc_high_percent,
        "imageGCLowThresholdPercent": settings.image_gc_low_percent,
        "imageMinimumGCAge": go_duration(settings.image_min_age_s),
        "imageMaximumGCAge": go_duration(settings.image_max_age_s),
        "containerRuntimeEndpoint": f"unix://{settings.cri_socket}",
        "failSwapOn": False,
        "enableDebuggingHandlers": True,
        "enableSystemLogHandler": True,
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
    }
