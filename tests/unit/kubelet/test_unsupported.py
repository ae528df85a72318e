"""What a pod may not be given less of in silence."""

from __future__ import annotations

import pytest

from tiphys.kubelet.security import unsupported
from tiphys.testing.builders import pod


@pytest.mark.parametrize(
    ("host_users", "runtime_class", "words"),
    [
        (None, "", ""),
        (True, "", ""),
        (False, "", "can't set `spec.hostUsers: false`, runtime does not support user namespaces"),
        (
            False,
            "gvisor",
            'can\'t set `spec.hostUsers: false`, RuntimeClass handler "gvisor" does not support user namespaces',
        ),
    ],
)
def test_user_namespaces(host_users: bool | None, runtime_class: str, words: str) -> None:
    asked = pod("p")
    asked.spec.host_users, asked.spec.runtime_class_name = host_users, runtime_class
    assert unsupported(asked) == words
