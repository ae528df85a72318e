"""`tiphys image`: options before or after the path, one help for each action."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.cli import main
from tiphys.cluster.images import command

BUILD = [
    ["build", "-t", "hello:1", "DIR"],
    ["build", "DIR", "-t", "hello:1"],
    ["build", "--tag=hello:1", "DIR"],
    ["build", "DIR", "-t", "hello:1", "--data-dir", "D"],
    ["--data-dir", "D", "build", "-t", "hello:1", "DIR"],
]


@pytest.mark.parametrize("arguments", BUILD)
def test_options_stand_anywhere(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, Path, str, Path | None]] = []
    monkeypatch.setattr(command, "build_image", lambda *given: asked.append(given))
    assert main(["image", *arguments]) == 0
    ((data_dir, path, tag, file),) = asked
    assert (path, tag, file) == (Path("DIR"), "hello:1", None)
    assert (data_dir == Path("D")) == ("D" in arguments)


@pytest.mark.parametrize("action", ["build", "load", "list"])
def test_each_action_has_its_help(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["image", action, "--help"])
    assert ended.value.code == 0
    assert f"tiphys image {action}" in capsys.readouterr().out


def test_a_name_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["image", "build", "DIR"])
    assert ended.value.code == 2
    assert "-t/--tag" in capsys.readouterr().err
