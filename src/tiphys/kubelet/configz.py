"""The kubelet's settings as a KubeletConfiguration, for /configz.

Source: staging/src/k8s.io/kubelet/config/v1beta1/types.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.kubelet.configuration import shown
from tiphys.kubelet.settings import KubeletSettings


def configuration(settings: KubeletSettings) -> dict[str, Any]:
    """What of upstream's fields has a meaning here, at its present value."""
    return {
        "enableServer": settings.serving_cert is not None,
        **shown(settings),
        "authentication": {
            "x509": {"clientCAFile": str(settings.client_ca or "")},
            "webhook": {"enabled": True, "cacheTTL": "2m0s"},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"}},
        "nodeStatusUpdateFrequency": "10s",
        "cgroupsPerQOS": True,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{settings.cri_socket}",
        "failSwapOn": False,
        "enableDebuggingHandlers": True,
        "enableSystemLogHandler": True,
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
    }
