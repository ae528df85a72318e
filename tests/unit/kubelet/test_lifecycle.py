"""The transition table of a pod: what is there, what the spec wants, what comes next."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.codec import from_json
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.kubelet.lifecycle import Health, Plan, kill_order, plan, restarts_after, spec_hash
from tiphys.kubelet.state import ContainerRun, PodRuntime, RunState, SandboxState

READY = SandboxState("s1", ready=True, attempt=0, created_ns=1, ips=("10.0.0.1",))
DEAD = SandboxState("s1", ready=False, attempt=0, created_ns=1)


def make_pod(restart: str = "Always", main: tuple[str, ...] = ("a",), init: tuple[str, ...] = (), **spec: Any) -> Pod:
    """Init containers whose name begins with `side` are sidecars."""
    inits = [{"name": n, "image": "i"} | ({"restartPolicy": "Always"} if n.startswith("side") else {}) for n in init]
    containers = [{"name": n, "image": "i"} for n in main]
    body = {"restartPolicy": restart, "containers": containers, "initContainers": inits, **spec}
    return from_json(Pod, {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": body})


def run(name: str, state: RunState, code: int = 0, attempt: int = 0, sandbox: str = "s1") -> ContainerRun:
    return ContainerRun(f"{name}-{attempt}", name, state, attempt, sandbox_id=sandbox, exit_code=code)


def up(name: str) -> ContainerRun:
    return run(name, RunState.RUNNING)


def ended(name: str, code: int = 0) -> ContainerRun:
    return run(name, RunState.EXITED, code)


def brief(found: Plan) -> str:
    """`kill-pod sandbox(1) kill(a) start(b)`"""
    words = ["kill-pod"] if found.kill_pod else []
    words += [f"sandbox({found.attempt})"] if found.create_sandbox else []
    words += [f"reset({run.name})" for run in found.reset]
    words += [f"kill({kill.run.name})" for kill in found.kill]
    words += [f"start({start.container.name})" for start in found.start]
    return " ".join(words)


CASES: list[tuple[str, Pod, tuple[SandboxState, ...], tuple[ContainerRun, ...], str]] = [
    ("nothing yet", make_pod(main=("a", "b")), (), (), "sandbox(0) start(a) start(b)"),
    ("nothing yet, with init", make_pod(init=("i",)), (), (), "sandbox(0) start(i)"),
    ("sandbox only", make_pod(), (READY,), (), "start(a)"),
    ("as wanted", make_pod(), (READY,), (up("a"),), ""),
    ("sandbox died", make_pod(), (DEAD,), (ended("a", 137),), "kill-pod sandbox(1) start(a)"),
    ("sandbox died, never restarted", make_pod("Never"), (DEAD,), (ended("a", 137),), "kill-pod"),
    ("sandbox died after success", make_pod("OnFailure"), (DEAD,), (ended("a"),), "kill-pod"),
    ("exit 0, Always", make_pod(), (READY,), (ended("a"),), "start(a)"),
    ("exit 0, OnFailure", make_pod("OnFailure"), (READY,), (ended("a"),), "kill-pod"),
    ("exit 1, OnFailure", make_pod("OnFailure"), (READY,), (ended("a", 1),), "start(a)"),
    ("exit 1, Never", make_pod("Never"), (READY,), (ended("a", 1),), "kill-pod"),
    ("one of two done, Never", make_pod("Never", ("a", "b")), (READY,), (ended("a"), up("b")), ""),
    ("created, not started", make_pod(), (READY,), (run("a", RunState.CREATED),), "start(a)"),
    ("unknown", make_pod(), (READY,), (run("a", RunState.UNKNOWN),), "kill(a) start(a)"),
    ("init runs", make_pod(init=("i", "j")), (READY,), (up("i"),), ""),
    ("init done", make_pod(init=("i", "j")), (READY,), (ended("i"),), "start(j)"),
    ("all init done", make_pod(init=("i", "j")), (READY,), (ended("i"), ended("j")), "start(a)"),
    ("init failed", make_pod(init=("i",)), (READY,), (ended("i", 1),), "start(i)"),
    ("init failed for good", make_pod("Never", init=("i",)), (READY,), (ended("i", 1),), "kill-pod"),
    ("sidecar up", make_pod(init=("side", "i")), (READY,), (up("side"),), "start(i)"),
    ("sidecar ended early", make_pod(init=("side", "i")), (READY,), (ended("side"),), "start(side)"),
    ("sidecar ended later", make_pod(init=("side",)), (READY,), (ended("side"), up("a")), "start(side)"),
    ("main done, sidecar left", make_pod("Never", init=("side",)), (READY,), (up("side"), ended("a")), "kill-pod"),
    (
        "init of an earlier sandbox counts no more",
        make_pod(init=("i",)),
        (SandboxState("s2", ready=True, attempt=1, created_ns=2, ips=("10.0.0.2",)),),
        (ended("i"),),
        "start(i)",
    ),
    (
        "host network without address",
        make_pod(hostNetwork=True),
        (SandboxState("s", True, 0, 1, (), True),),
        (),
        "start(a)",
    ),
    ("no address", make_pod(), (SandboxState("s", True, 0, 1),), (), "kill-pod sandbox(1) start(a)"),
]


@pytest.mark.parametrize(("pod", "sandboxes", "runs", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_plan(pod: Pod, sandboxes: tuple[SandboxState, ...], runs: tuple[ContainerRun, ...], wanted: str) -> None:
    assert brief(plan(pod, PodRuntime(sandboxes, runs), Health())) == wanted


def test_a_sick_container_is_killed_and_said_to_come_back() -> None:
    runtime = PodRuntime((READY,), (up("a"),))
    found = plan(make_pod(), runtime, Health(not_live={"a-0": True}))
    assert [(k.message, k.reason) for k in found.kill] == [
        ("Container a failed liveness probe, will be restarted", "LivenessProbe")
    ]
    found = plan(make_pod("Never"), runtime, Health(startup={"a-0": False}))
    assert found.kill_pod


def test_a_changed_image_replaces_the_container() -> None:
    pod = make_pod("Never")
    old = ContainerRun("a-0", "a", RunState.RUNNING, 0, sandbox_id="s1", hash="other")
    same = ContainerRun("a-0", "a", RunState.RUNNING, 0, sandbox_id="s1", hash=spec_hash(pod.spec.containers[0]))
    found = plan(pod, PodRuntime((READY,), (old,)), Health())
    assert [k.message for k in found.kill] == ["Container a definition changed, will be restarted"]
    assert plan(pod, PodRuntime((READY,), (same,)), Health()).empty


def test_a_sidecar_holds_up_the_rest_until_it_has_started() -> None:
    pod = make_pod(init=("side",))
    pod.spec.init_containers[0].startup_probe = from_json(
        type(pod.spec.containers[0]), {"startupProbe": {"tcpSocket": {"port": 1}}}
    ).startup_probe
    runtime = PodRuntime((READY,), (up("side"),))
    assert plan(pod, runtime, Health()).empty
    assert brief(plan(pod, runtime, Health(startup={"side-0": True}))) == "start(a)"


def test_restart_rules_of_a_container() -> None:
    pod = make_pod("Never")
    container = pod.spec.containers[0]
    rules = {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}
    container.restart_policy_rules = from_json(type(container), rules).restart_policy_rules
    assert restarts_after(pod, container, 42) and not restarts_after(pod, container, 1)


def test_sidecars_are_stopped_last_in_reverse_order() -> None:
    pod = make_pod(main=("a", "b"), init=("side1", "i", "side2"))
    groups = kill_order(pod, [up("side1"), up("side2"), up("a"), up("b")])
    assert [[r.name for r in group] for group in groups] == [["a", "b"], ["side2"], ["side1"]]


def with_rules(*actions: str) -> Pod:
    """Container `a` ends with 42 and its rules say so; `i` and `side` come before it, `b` is beside it."""
    pod = make_pod("Never", ("a", "b"), ("i", "side"))
    rules = [{"action": action, "exitCodes": {"operator": "In", "values": [42]}} for action in actions]
    made = from_json(type(pod.spec.containers[0]), {"name": "a", "image": "i", "restartPolicyRules": rules})
    pod.spec.containers[0] = made
    return pod


@pytest.mark.parametrize(
    ("actions", "runs", "wanted"),
    [
        (
            ["RestartAllContainers"],
            (ended("a", 42), up("b"), ended("i"), up("side")),
            "reset(b) reset(i) reset(side) reset(a)",
        ),
        (["RestartAllContainers"], (ended("a", 42),), "reset(a)"),  # cut off in the middle
        (["RestartAllContainers"], (ended("a", 1), up("b"), ended("i"), up("side")), ""),
        (["Restart", "RestartAllContainers"], (ended("a", 42), up("b"), ended("i"), up("side")), "start(a)"),
        (["RestartAllContainers"], (), "start(i)"),  # and all begins again, in the same sandbox
    ],
)
def test_one_end_may_begin_all_again(actions: list[str], runs: tuple[ContainerRun, ...], wanted: str) -> None:
    assert brief(plan(with_rules(*actions), PodRuntime((READY,), runs), Health())) == wanted
