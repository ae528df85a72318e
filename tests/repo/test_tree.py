"""Rules about the tree itself: what a reader may rely on."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 600


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, or of the unpacked source where there is no git."""
    try:
        names = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", *patterns], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_file_is_longer_than_a_person_reads() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked("*.py")
        if (count := len(path.read_text().splitlines())) > LINES_MAX
    }
    assert not long


def test_every_module_says_what_it_is() -> None:
    silent = []
    for path in tracked("src/*.py"):
        if path.name == "__init__.py" and not path.read_text().strip():
            continue
        if not ast.get_docstring(ast.parse(path.read_text())):
            silent.append(str(path.relative_to(ROOT)))
    assert not silent


def test_no_module_is_called_a_drawer() -> None:
    names = [
        path
        for path in tracked("src/*.py")
        if path.stem in ("utils", "util", "helpers", "helper", "manager", "misc", "common_utils")
    ]
    assert not names


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in tracked("*.md"):
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not broken


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=!~;\[ ]", entry)[0] for entry in project["dependencies"]]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert not [name for name in names if f"| {name} |" not in page]


def test_every_controller_is_registered() -> None:
    from tiphys.controllers._registry import CONTROLLERS

    with_spec = {
        path.stem
        for path in tracked("src/tiphys/controllers/*.py")
        if not path.stem.startswith("_") and re.search(r"^SPEC\b", path.read_text(), re.MULTILINE)
    }
    registered = {
        name
        for name in with_spec
        if any(spec is import_module(f"tiphys.controllers.{name}").SPEC for spec in CONTROLLERS)
    }
    assert with_spec == registered


def test_every_kubectl_command_loads_and_helps() -> None:
    from tiphys.kubectl.command import COMMANDS, load

    for name in COMMANDS:
        command = load(name)
        assert command.help.endswith(".")
        assert len({flag.name for flag in command.flags}) == len(command.flags)


def test_documented_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
