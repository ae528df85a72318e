"""Exec, attach and port-forward with every kubectl that is here and with the official Python client."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import TIPHYS, RunningCluster, eventually, kubectls

EVERY_KUBECTL = pytest.mark.parametrize("binary", kubectls(), ids=lambda path: path or "tiphys kubectl")
READER = "while read line; do echo got $line; done; sleep inf"


class Pod:
    """A pod with a web server (`web`) and a process that reads its input (`reader`)."""

    def __init__(self, cluster: RunningCluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def command(self, binary: str, *arguments: str) -> list[str]:
        return [*([binary] if binary else [*TIPHYS, "kubectl"]), "-n", self.namespace, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}

    def run(self, binary: str, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(binary, *arguments), input=data, capture_output=True, timeout=90, check=False,
            env=self.environment, stdin=subprocess.DEVNULL if data is None else None,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self, binary: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            self.command(binary, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment,
            **options,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=10)


@pytest.fixture(scope="module")
def pod(cluster: RunningCluster) -> Iterator[Pod]:
    name = "streaming"
    cluster.kubectl("create", "namespace", name)
    eventually(lambda: cluster.kubectl("get", "sa", "default", "-n", name, check=False).returncode == 0)
    made = Pod(cluster, name)
    start(made, "p")
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    cluster.apply({**service, "spec": {"selector": {"app": "p"}, "ports": [{"port": 80, "targetPort": 8080}]}}, name)
    yield made
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def start(pod: Pod, name: str) -> None:
    image = pod.cluster.image
    containers = [
        {"name": "web", "image": image},
        {"name": "reader", "image": image, "command": ["sh", "-c", READER], "stdin": True},
        {"name": "over", "image": image, "command": ["true"]},
    ]
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": containers}
    meta = {"name": name, "labels": {"app": name}}
    pod.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}, pod.namespace)

    def settled() -> bool:
        status = pod.cluster.get("pod", name, "-n", pod.namespace)["status"]
        states = {each["name"]: each["state"] for each in status.get("containerStatuses") or ()}
        return "running" in states.get("web", ()) and "terminated" in states.get("over", ())

    eventually(settled)


@EVERY_KUBECTL
def test_exec_has_two_outputs_and_an_exit_code(pod: Pod, binary: str) -> None:
    result = pod.run(binary, "exec", "p", "-c", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (result.returncode, result.stdout) == (3, b"out\n")
    assert result.stderr.splitlines() == [b"err", b"command terminated with exit code 3"]


@EVERY_KUBECTL
def test_a_command_may_be_long(pod: Pod, binary: str) -> None:
    text = "a" * 20_000
    assert pod.run(binary, "exec", "p", "-c", "web", "--", "echo", text).stdout.decode() == f"{text}\n"


def test_a_pod_of_ones_own(pod: Pod) -> None:
    """Made, connected to, ended with its exit code, and gone."""
    image = f"--image={pod.cluster.image}"
    words = ("run", "-i", "--rm", "--restart=Never", image, "own", "--", "sh", "-c", "cat; exit 42")
    result = pod.run("", *words, data=b"in and out")
    assert (result.returncode, result.stdout.splitlines()[0][:10]) == (42, b"in and out"), result.stderr
    eventually(lambda: pod.run("", "get", "pod", "own").returncode == 1)


def test_a_container_beside_those_of_a_pod(pod: Pod) -> None:
    image = f"--image={pod.cluster.image}"
    words = ("debug", "p", "-i", "-q", image, "-c", "look", "--target=web", "--profile=netadmin", "--", "sh")
    result = pod.run("", *words, data=b"cat /proc/1/comm; sleep 1\n")
    assert result.returncode == 0, result.stderr
    added = pod.cluster.get("pod", "p", "-n", pod.namespace)["spec"]["ephemeralContainers"]
    assert added[0]["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_RAW"]


@EVERY_KUBECTL
def test_ten_megabytes_through_cat(pod: Pod, binary: str) -> None:
    data = os.urandom(10_000_000)
    result = pod.run(binary, "exec", "-i", "p", "-c", "web", "--", "cat", data=data)
    assert result.returncode == 0, result.stderr
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()


@EVERY_KUBECTL
def test_a_terminal_follows_its_window(pod: Pod, binary: str) -> None:
    command = pod.command(binary, "exec", "-it", "p", "-c", "web", "--", "sh")
    child, terminal = pty.fork()
    if not child:
        os.execvpe(command[0], command, pod.environment)
    seen = b""

    def shows(text: bytes) -> bool:
        nonlocal seen
        while select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 4096)
            except OSError:  # the other end is closed: what it wrote has been read
                break
        return text in seen

    def resize(rows: int, columns: int) -> None:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def asked(size: bytes) -> bool:
        os.write(terminal, b"stty size\n")
        return shows(size)

    try:
        resize(30, 100)
        eventually(lambda: shows(b"#"))
        eventually(lambda: asked(b"\r\n30 100\r\n"))
        resize(44, 123)
        eventually(lambda: asked(b"\r\n44 123\r\n"))
        os.write(terminal, b"exit 9\n")
        eventually(lambda: shows(b"exit code 9"))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        child = 0
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(terminal)


@EVERY_KUBECTL
def test_attach_reaches_the_process_itself(pod: Pod, binary: str) -> None:
    with pod.running(binary, "attach", "-i", "p", "-c", "reader", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # What is said before the connection stands may not be seen by all; so it is said again until it is.
        os.set_blocking(process.stdout.fileno(), False)

        def answered() -> bool:
            process.stdin.write(b"hello\n")  # type: ignore[union-attr] # checked above
            process.stdin.flush()  # type: ignore[union-attr] # as above
            return b"got hello" in (process.stdout.read() or b"")  # type: ignore[union-attr] # as above

        eventually(answered)


@EVERY_KUBECTL
@pytest.mark.parametrize("target", ["pod/p", "svc/s"])
def test_port_forward(pod: Pod, binary: str, target: str) -> None:
    port = "80" if target == "svc/s" else "8080"
    with pod.running(binary, "port-forward", target, f":{port}") as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.endswith(" -> 8080\n")
        address = f"http://{line.split()[2]}"
        for _ in range(3):
            with urllib.request.urlopen(address, timeout=10) as answer:
                assert answer.read().startswith(b"Hello from p ")


@EVERY_KUBECTL
def test_refusals(pod: Pod, binary: str) -> None:
    unknown = pod.run(binary, "exec", "nope", "--", "true")
    assert b'pods "nope" not found' in unknown.stderr
    over = pod.run(binary, "exec", "p", "-c", "over", "--", "true")
    assert over.returncode == 1
    assert b"unable to upgrade connection: container over is not running" in over.stderr
    missing = pod.run(binary, "exec", "p", "-c", "web", "--", "no-such-program")
    assert missing.returncode != 0
    assert b"no-such-program" in missing.stderr


@EVERY_KUBECTL
def test_reading_alone_does_not_allow_exec(pod: Pod, namespace: str, binary: str) -> None:
    """`get` on pods/exec may open a WebSocket, but what it does there is creating."""
    kubectl = pod.cluster.kubectl
    user = f"reader-of-{namespace}"
    kubectl("create", "role", user, "--verb=get", "--resource=pods,pods/exec", "-n", pod.namespace)
    kubectl("create", "rolebinding", user, f"--role={user}", f"--user={user}", "-n", pod.namespace)
    result = pod.run(binary, "--as", user, "exec", "p", "-c", "web", "--", "true")
    assert result.returncode == 1
    assert f'User "{user}" cannot create resource "pods/exec"'.encode() in result.stderr


@EVERY_KUBECTL
def test_nothing_stays_open_when_the_client_is_killed(pod: Pod, binary: str) -> None:
    def open_files() -> int:
        programs = ["control-plane", *(f"node-{n}" for n in (1, 2))]
        return sum(len(os.listdir(f"/proc/{pod.cluster.pid(program)}/fd")) for program in programs)

    def at_rest() -> int:
        """The number once it stays; never 0."""
        before, _, after = open_files(), time.sleep(0.5), open_files()
        return before if before == after else 0

    pod.run(binary, "exec", "p", "-c", "web", "--", "true")
    before = eventually(at_rest)
    # One that is not fed, one that feeds nobody, and one that does not take what it is fed.
    commands = {"cat": subprocess.PIPE, "yes | head -c 50000000": subprocess.PIPE, "sleep 300": "/dev/zero"}
    with contextlib.ExitStack() as stack:
        for command, source in commands.items():
            stdin = stack.enter_context(open(source, "rb")) if isinstance(source, str) else source
            arguments = ("exec", "-i", "p", "-c", "web", "--", "sh", "-c", command)
            stack.enter_context(pod.running(binary, *arguments, stdin=stdin))
        stack.enter_context(pod.running(binary, "port-forward", "pod/p", ":8080"))
        eventually(lambda: open_files() >= before + 8)
    # A program may have opened another connection to the API server meanwhile, which is two files.
    eventually(lambda: open_files() <= before + 4, 60.0)


@EVERY_KUBECTL
def test_the_client_ends_when_the_container_is_killed(pod: Pod, binary: str) -> None:
    name = f"victim-{kubectls().index(binary)}"
    start(pod, name)
    with pod.running(binary, "exec", name, "-c", "web", "--", "sh", "-c", "echo ready; sleep 1000") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        pod.cluster.kubectl("delete", "pod", name, "-n", pod.namespace, "--wait=false")
        assert process.wait(timeout=30) == 137


class TestPythonClient:
    """kubernetes on PyPI: WebSocket v4.channel.k8s.io, which the runtime speaks itself."""

    @pytest.fixture
    def api(self, cluster: RunningCluster) -> Any:
        kubernetes = pytest.importorskip("kubernetes")
        return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))

    def test_exec(self, api: Any, pod: Pod) -> None:
        from kubernetes.stream import stream

        session = stream(
            api.connect_get_namespaced_pod_exec, "p", pod.namespace, container="web", stdin=True, stdout=True,
            stderr=True, command=["sh", "-c", "read x; echo out $x; echo err >&2; exit 4"], _preload_content=False,
        )  # fmt: skip
        session.write_stdin("hello\n")
        session.run_forever(timeout=20)
        assert session.returncode == 4
        assert session.read_stdout() == "out hello\n"
        assert session.read_stderr() == "err\n"

    def test_port_forward(self, api: Any, pod: Pod) -> None:
        from kubernetes.stream import portforward

        forward = portforward(api.connect_get_namespaced_pod_portforward, "p", pod.namespace, ports="8080")
        connection = forward.socket(8080)
        connection.settimeout(10)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        assert b"Hello from p " in answer
        assert forward.error(8080) is None
