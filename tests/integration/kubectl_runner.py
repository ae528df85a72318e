"""`tiphys kubectl` in the tests' own process."""

from __future__ import annotations

import pytest
from api_harness import ADMIN_TOKEN, RunningServer

from tiphys.kubectl.main import main


class Kubectl:
    """Runs commands in this process; keeps what they printed."""

    def __init__(self, api: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--server", api.url, "--token", ADMIN_TOKEN, "--insecure-skip-tls-verify"]
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        self._capsys.readouterr()
        ended = main([*self._flags, *words])
        captured = self._capsys.readouterr()
        assert ended == code, captured
        return captured.out + captured.err
