from __future__ import annotations

import pytest

from tiphys.api.codec import from_json
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.security import apparmor_refusal

REFUSED = ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


def profile(kind: str) -> dict[str, object]:
    return {"securityContext": {"appArmorProfile": {"type": kind}}}


@pytest.mark.parametrize(
    ("spec", "enabled", "refused"),
    [
        ({}, False, False),
        (profile("Unconfined"), False, False),
        (profile("RuntimeDefault"), False, True),
        (profile("RuntimeDefault"), True, False),
        ({"containers": [{"name": "c", **profile("Localhost")}]}, False, True),
        ({"initContainers": [{"name": "c", **profile("RuntimeDefault")}]}, False, True),
        ({"containers": [{"name": "c", **profile("Unconfined")}]}, False, False),
    ],
)
def test_a_pod_whose_profile_would_not_hold_is_refused(spec: dict[str, object], enabled: bool, refused: bool) -> None:
    found = apparmor_refusal(from_json(Pod, {"spec": spec}), enabled=enabled)
    assert found == (REFUSED if refused else None)
