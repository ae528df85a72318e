"""`tiphys test-server` as a program in another language has it: lines in, lines out, a kubeconfig."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml


def test_it_says_where_it_is_does_what_it_is_told_and_ends_with_its_input(tmp_path) -> None:
    path = tmp_path / "kubeconfig"
    arguments = ["--kubeconfig", str(path), "--nodes", "3", "--zones", "a,b"]
    with subprocess.Popen(
        [sys.executable, "-m", "tiphys", "test-server", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline())
        assert ready["ready"] is True
        assert ready["kubeconfig"] == str(path)
        assert path.stat().st_mode & 0o077 == 0
        assert yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"] == ready["server"]

        def do(line: str) -> dict:
            server.stdin.write(line + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        assert "ok" in do('{"do": "advance", "seconds": 60}')
        assert "Node node-2" in do('{"do": "picture"}')["ok"]
        assert "there is no command 'dance'" in do('{"do": "dance"}')["error"]
        assert "error" in do("not json")
        assert "error" in do('{"do": "advance", "seconds": "x"}')
        assert do('{"do": "advance", "seconds": -1}') == {"error": "time cannot be moved back"}
        assert "unexpected keyword" in do('{"do": "now", "extra": 1}')["error"]
        assert do('{"do": "lose_node", "name": "x"}') == {"error": "there is no simulated node 'x'"}
        server.stdin.close()
        assert server.wait(20) == 0
        assert not Path(ready["kubeconfig"]).parent.joinpath("pki").exists()


def test_the_path_to_it_needs_nothing_that_only_linux_has() -> None:
    script = (
        "import sys; "
        "sys.modules.update(dict.fromkeys(('fcntl','resource','termios','pwd','grp','uvloop','lmdb','grpc')));"
        "import asyncio, pathlib, tempfile; from tiphys.testing.controlplane import *\n"
        "async def main():\n"
        "    with tempfile.TemporaryDirectory() as directory:\n"
        "        async with TestControlPlane.started(TestClusterSettings(), pathlib.Path(directory)) as plane:\n"
        "            await plane.advance(60)\n"
        "            print(plane.store.revision)\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
