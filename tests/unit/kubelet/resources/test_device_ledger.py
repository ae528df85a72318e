from pathlib import Path

import pytest

from tiphys.kubelet.resources.devices.ledger import DeviceLedger
from tiphys.kubelet.resources.devices.messages import ContainerAllocateResponse, PluginDevice
from tiphys.kubelet.resources.grants import NotAllocated

R = "example.com/x"


def devices(*names: str, ill: str = "") -> list[PluginDevice]:
    return [PluginDevice(id=name, health="Unhealthy" if name == ill else "Healthy") for name in names]


def test_what_is_given_is_not_free_and_outlives_a_restart(tmp_path: Path) -> None:
    ledger = DeviceLedger(tmp_path / "file")
    with pytest.raises(NotAllocated, match=f"cannot allocate unregistered device {R}"):
        ledger.available(R, 1)
    ledger.update(R, devices("a", "b", "c", ill="c"))
    assert ledger.available(R, 2) == ["a", "b"]
    ledger.assign("uid", "main", R, ["a"], ContainerAllocateResponse(envs={"K": "v"}))
    assert ledger.available(R, 1) == ["b"]
    with pytest.raises(NotAllocated, match=f"unavailable for {R}. Requested: 2, Available: 1"):
        ledger.available(R, 2)
    ledger.save()
    again = DeviceLedger(tmp_path / "file")
    assert again.of("uid", "main")[R].grant().environment == {"K": "v"}
    assert again.kept("uid", "main", R, 1) == ["a"]
    with pytest.raises(NotAllocated, match="changed request for resource"):
        again.kept("uid", "main", R, 2)
    with pytest.raises(NotAllocated, match="no healthy devices present"):
        again.available(R, 1)
    assert again.release("uid") and not again.release("uid")


def test_pods_whose_devices_turn_are_named(tmp_path: Path) -> None:
    ledger = DeviceLedger(tmp_path / "file")
    assert ledger.update(R, devices("a", "b")) == set()
    ledger.assign("one", "main", R, ["a"], ContainerAllocateResponse())
    ledger.assign("two", "main", R, ["b"], ContainerAllocateResponse())
    assert ledger.update(R, devices("a", "b", ill="b")) == {"two"}
    assert ledger.update(R, devices("b", ill="b")) == {"one"}
    assert ledger.fail(R) == set()


def test_a_broken_file_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{")
    assert not DeviceLedger(tmp_path / "file").resources
