import pytest

from tiphys.kubectl.rollout_status import progress


def deployment(generation: int = 1, replicas: int = 3, **status: object) -> dict[str, object]:
    metadata = {"name": "web", "generation": generation}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}, "status": status}


def other(kind: str, spec: dict[str, object], **status: object) -> dict[str, object]:
    return {"kind": kind, "metadata": {"name": "web", "generation": 1}, "spec": spec,
            "status": {"observedGeneration": 1, **status}}  # fmt: skip


ROLLING = {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}


@pytest.mark.parametrize(
    ("obj", "text", "done"),
    [
        (deployment(generation=2, observedGeneration=1), "Waiting for deployment spec update to be observed...", False),
        (
            deployment(observedGeneration=1, updatedReplicas=1, replicas=3),
            'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...',
            False,
        ),
        (
            {**deployment(), "status": {"observedGeneration": 1, "updatedReplicas": 3, "replicas": 4}},
            'Waiting for deployment "web" rollout to finish: 1 old replicas are pending termination...',
            False,
        ),
        (
            {**deployment(), "status": {"observedGeneration": 1, "updatedReplicas": 3, "replicas": 3}},
            'Waiting for deployment "web" rollout to finish: 0 of 3 updated replicas are available...',
            False,
        ),
        (
            {
                **deployment(),
                "status": {"observedGeneration": 1, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3},
            },
            'deployment "web" successfully rolled out',
            True,
        ),
        (
            other("DaemonSet", {}, desiredNumberScheduled=2, updatedNumberScheduled=1),
            'Waiting for daemon set "web" rollout to finish: 1 out of 2 new pods have been updated...',
            False,
        ),
        (
            other("DaemonSet", {}, desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2),
            'daemon set "web" successfully rolled out',
            True,
        ),
        (other("StatefulSet", {"replicas": 3}, readyReplicas=1), "Waiting for 2 pods to be ready...", False),
        (
            other("StatefulSet", ROLLING, readyReplicas=3, updatedReplicas=1),
            "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...",
            False,
        ),
        (
            other("StatefulSet", ROLLING, readyReplicas=3, updatedReplicas=2),
            "partitioned roll out complete: 2 new pods have been updated...",
            True,
        ),
        (
            other("StatefulSet", {"replicas": 1}, readyReplicas=1, updateRevision="b", currentRevision="a"),
            "waiting for statefulset rolling update to complete 0 pods at revision b...",
            False,
        ),
    ],
)
def test_progress_in_kubectls_words(obj: dict[str, object], text: str, done: bool) -> None:
    assert progress(obj) == (text, done, False)


def test_an_exceeded_deadline_is_a_failure() -> None:
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}
    _, done, failed = progress(deployment(observedGeneration=1, conditions=[condition]))
    assert (done, failed) == (False, True)
