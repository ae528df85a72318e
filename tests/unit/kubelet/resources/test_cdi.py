import json
from pathlib import Path

import pytest

from tiphys.kubelet.resources.cdi import CdiDevices
from tiphys.kubelet.resources.grants import NotAllocated


def write(path: Path, *, edits: dict[str, object], common: dict[str, object] | None = None) -> None:
    path.parent.mkdir(exist_ok=True)
    devices = [{"name": "one", "containerEdits": edits}]
    spec = {"cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "devices": devices, "containerEdits": common or {}}
    path.write_text(json.dumps(spec))


def test_environment_nodes_and_mounts_are_put_in_here(tmp_path: Path) -> None:
    write(
        tmp_path / "etc" / "a.json",
        edits={"env": ["A=1=2"], "deviceNodes": [{"path": "/dev/x"}, {"path": "/dev/y", "hostPath": "/dev/z"}]},
        common={"mounts": [{"hostPath": "/lib/v", "containerPath": "/v", "options": ["ro", "bind"]}]},
    )
    given = CdiDevices([tmp_path / "etc", tmp_path / "none"], lambda: False).resolve(["vendor.com/gpu=one"])
    assert given.environment == {"A": "1=2"}
    assert [(d.container_path, d.host_path, d.permissions) for d in given.devices] == [
        ("/dev/x", "/dev/x", "rwm"),
        ("/dev/y", "/dev/z", "rwm"),
    ]
    assert [(m.host_path, m.container_path, m.readonly) for m in given.mounts] == [("/lib/v", "/v", True)]


def test_a_later_directory_wins(tmp_path: Path) -> None:
    write(tmp_path / "etc" / "a.json", edits={"env": ["A=old"]})
    write(tmp_path / "run" / "a.json", edits={"env": ["A=new"]})
    (tmp_path / "run" / "broken.json").write_text("{")
    (tmp_path / "run" / "typed.yaml").write_text("kind: [1]\n")
    given = CdiDevices([tmp_path / "etc", tmp_path / "run"], lambda: False).resolve(["vendor.com/gpu=one"])
    assert given.environment == {"A": "new"}


def test_yaml_is_read_too(tmp_path: Path) -> None:
    text = "kind: v.com/c\ndevices:\n- name: d\n  containerEdits:\n    env: [X=1]\n"
    (tmp_path / "a.yaml").write_text(text)
    assert CdiDevices([tmp_path], lambda: False).resolve(["v.com/c=d"]).environment == {"X": "1"}


def test_hooks_are_left_to_a_runtime_that_can(tmp_path: Path) -> None:
    write(tmp_path / "a" / "a.json", edits={"hooks": [{"hookName": "createContainer", "path": "/bin/x"}]})
    name = "vendor.com/gpu=one"
    assert CdiDevices([tmp_path / "a"], lambda: True).resolve([name]).cdi_devices == [name]
    with pytest.raises(NotAllocated, match="needs hooks, which the runtime cannot do"):
        CdiDevices([tmp_path / "a"], lambda: False).resolve([name])


@pytest.mark.parametrize("name", ["vendor.com/gpu=two", "vendor.com/fpga=one", "nonsense"])
def test_unknown_devices_are_told(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a" / "a.json", edits={"env": ["A=1"]})
    with pytest.raises(NotAllocated, match="unresolvable CDI devices"):
        CdiDevices([tmp_path / "a"], lambda: True).resolve([name])
