"""What is remembered of changes that are alike gives the same managers as working each change out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import codec
from tiphys.api.apply import managers, update_managed
from tiphys.api.apply.alike import Answers
from tiphys.api.apply.form import Form
from tiphys.api.kinds import EVENT, LEASE, POD
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.registry.ownership import form_of

_NAMES = st.sampled_from(["a", "c", "10.0.0.1", "2026-01-02T03:04:05Z", "Ready"])
_ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "9.9.9.9"])
_TIMES = st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"])
_UIDS = st.sampled_from(["u-1", "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"])


@st.composite
def _statuses(draw: Any) -> dict[str, Any]:
    addresses = draw(st.lists(_ADDRESSES, max_size=2, unique=True))
    return {
        "phase": draw(st.sampled_from(["Pending", "Running", "a"])),
        "startTime": draw(_TIMES),
        "podIPs": [{"ip": address} for address in addresses],
        **({"podIP": addresses[0]} if addresses else {}),
        "hostIPs": [{"ip": draw(_ADDRESSES)}],
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": draw(_TIMES)}
            for kind in draw(st.lists(st.sampled_from(["Ready", "PodScheduled", "a"]), max_size=2, unique=True))
        ],
        "containerStatuses": [{"name": draw(_NAMES), "containerID": f"simulated://{draw(_UIDS)}-c", "ready": True}],
    }


@st.composite
def _pods(draw: Any) -> Any:
    return codec.from_json(
        POD.schema,
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {
                "name": draw(_NAMES),
                "namespace": "default",
                "uid": draw(_UIDS),
                "labels": {draw(_NAMES): "x"},
                "annotations": {"at": draw(_TIMES)},
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": uid}
                    for uid in draw(st.lists(_UIDS, max_size=2, unique=True))
                ],
            },
            "spec": {
                "containers": [{"name": draw(_NAMES), "image": draw(_NAMES)}],
                "hostAliases": [{"ip": a} for a in draw(st.lists(_ADDRESSES, max_size=2, unique=True))],
            },
        },
    )


def _lives(pod: Any, statuses: list[dict[str, Any]]) -> list[str]:
    """The managers after the pod was made and after each status."""
    found, old = [], None
    for step, status in enumerate([None, *statuses]):
        new = copy_of(pod if old is None else old)
        if status is not None:
            new.status = codec.from_json(type(new.status), status)
        manager, subresource = ("maker", "") if old is None else (f"kubelet{step % 2}", "status")
        new.metadata.managed_fields = update_managed(
            old, new, manager, "Update", "v1", f"2026-01-0{step + 1}T00:00:00Z", subresource, form_of(POD)
        )
        found.append(codec.encode(new.metadata).decode())
        old = new
    return found


class _Forgetful(Answers):
    def keep(self, form: object, question: Any, answer: Any) -> None:
        pass


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_pods(), st.lists(_statuses(), max_size=3)), min_size=1, max_size=4))
def test_pods(lives: list[tuple[Any, list[dict[str, Any]]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(managers, "_answers", _Forgetful())
        expected = [_lives(*life) for life in lives]
        patch.setattr(managers, "_answers", Answers())
        assert [_lives(*life) for life in lives] == expected


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The questions that had to be worked out."""
    texts: list[bytes] = []

    class Counting(Answers):
        def keep(self, form: object, question: Any, answer: Any) -> None:
            texts.append(question.text)
            super().keep(form, question, answer)

    monkeypatch.setattr(managers, "_answers", Counting())
    return texts


def _pod(name: str, uid: str) -> Any:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    metadata = {"name": name, "namespace": "default", "uid": uid}
    return codec.from_json(POD.schema, {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec})


def test_pods_of_a_template_are_asked_about_once(asked: list[bytes]) -> None:
    for number in range(5):
        statuses: list[dict[str, Any]] = [
            {"phase": "Running", "podIP": f"10.0.0.{number}", "podIPs": [{"ip": f"10.0.0.{number}"}]},
            {"phase": "Succeeded", "podIP": f"10.0.0.{number}", "podIPs": [{"ip": f"10.0.0.{number}"}]},
        ]
        for status in statuses:
            status["containerStatuses"] = [{"name": "c", "containerID": f"simulated://uid-{number}-c"}]
            status["startTime"] = f"2026-01-01T00:00:0{number}Z"
        texts = _lives(_pod(f"web-{number}", f"uid-{number}"), statuses)
        assert f'k:{{\\"ip\\":\\"10.0.0.{number}\\"}}' in texts[1]
    assert len(asked) == 3


def test_events_are_asked_about_by_what_they_set(asked: list[bytes]) -> None:
    for number in range(5):
        event = codec.from_json(
            EVENT.schema,
            {
                "kind": "Event",
                "apiVersion": "v1",
                "metadata": {"name": f"e{number}", "namespace": "default"},
                "involvedObject": {"kind": "Pod", "name": f"web-{number}", "uid": f"uid-{number}"},
                "message": f'bound "web-{number}" to node {number}',
                "firstTimestamp": f"2026-01-01T00:00:0{number}Z",
            },
        )
        update_managed(None, event, "scheduler", "Update", "v1", "2026-01-01T00:00:00Z", form=form_of(EVENT))
    assert len(asked) == 1


def test_what_is_empty_is_not_set(asked: list[bytes]) -> None:
    form = Form.of_type(EVENT.schema, "v1")
    texts = []
    for message in ("", "said"):
        event = codec.from_json(EVENT.schema, {"kind": "Event", "apiVersion": "v1", "message": message})
        entries = update_managed(None, event, "m", "Update", "v1", "2026-01-01T00:00:00Z", form=form)
        texts.append("".join(str(entry.fields_v1) for entry in entries))
    assert [("f:message" in text) for text in texts] == [False, True]


def test_renewals_are_alike(asked: list[bytes]) -> None:
    for number in range(3):
        lease = codec.from_json(
            LEASE.schema,
            {
                "kind": "Lease",
                "apiVersion": "coordination.k8s.io/v1",
                "metadata": {
                    "name": f"node-{number}",
                    "namespace": "kube-node-lease",
                    "uid": f"uid-{number}",
                    "ownerReferences": [
                        {
                            "apiVersion": "v1",
                            "kind": "Node",
                            "name": f"node-{number}",
                            "uid": f"0000000{number}-0000-4000-8000-000000000000",
                        }
                    ],
                },
                "spec": {"holderIdentity": f"node-{number}", "renewTime": "2026-01-01T00:00:00.000000Z"},
            },
        )
        lease.metadata.managed_fields = update_managed(
            None, lease, "kubelet", "Update", LEASE.api_version, "2026-01-01T00:00:00Z", form=form_of(LEASE)
        )
        del asked[:]  # the first is the making
        renewed = copy_of(lease)
        renewed.spec.renew_time = f"2026-01-01T00:00:1{number}.000000Z"
        update_managed(
            lease, renewed, "kubelet", "Update", LEASE.api_version, "2026-01-01T00:00:10Z", form=form_of(LEASE)
        )
        assert len(asked) == (1 if number == 0 else 0)
