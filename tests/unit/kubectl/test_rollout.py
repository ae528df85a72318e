import pytest

from tiphys.kubectl.rollout import progress


def deployment(generation: int = 1, replicas: int = 3, **status: object) -> dict[str, object]:
    return {"metadata": {"name": "web", "generation": generation}, "spec": {"replicas": replicas}, "status": status}


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
    ],
)
def test_progress_in_kubectls_words(obj: dict[str, object], text: str, done: bool) -> None:
    assert progress(obj) == (text, done, False)


def test_an_exceeded_deadline_is_a_failure() -> None:
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}
    _, done, failed = progress(deployment(observedGeneration=1, conditions=[condition]))
    assert (done, failed) == (False, True)
