"""Log files of the node, configuration, operation names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.api.errors import BadRequest, NotFound
from tiphys.kubelet.configz import configuration
from tiphys.kubelet.endpoints import listing, log_file
from tiphys.kubelet.metrics import operation_of
from tiphys.kubelet.settings import KubeletSettings


def test_log_files_stay_below_their_directory(tmp_path: Path) -> None:
    logs, secret = tmp_path / "log", tmp_path / "secret"
    (logs / "pods").mkdir(parents=True)
    secret.write_text("x")
    (logs / "syslog").write_text("x")
    (logs / "inside").symlink_to("syslog")
    (logs / "outside").symlink_to(secret)
    assert log_file(logs, "syslog") == logs / "syslog"
    assert log_file(logs, "inside") == logs / "syslog"
    assert log_file(logs, "") == logs
    for wrong in ("outside", "none", "pods/none"):
        with pytest.raises(NotFound):
            log_file(logs, wrong)
    with pytest.raises(BadRequest, match="invalid URL path"):
        log_file(logs, "../secret")
    assert log_file(logs, "//syslog") == logs / "syslog"


def test_listing_escapes(tmp_path: Path) -> None:
    (tmp_path / "a&b <c>").write_text("")
    (tmp_path / "dir").mkdir()
    assert '<a href="a%26b%20%3Cc%3E">a&amp;b &lt;c&gt;</a>\n<a href="dir/">dir/</a>\n' in listing(tmp_path)


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("/runtime.v1.RuntimeService/RunPodSandbox", "run_podsandbox"),
        ("/runtime.v1.RuntimeService/PodSandboxStatus", "podsandbox_status"),
        ("/runtime.v1.ImageService/PullImage", "pull_image"),
        ("/runtime.v1.RuntimeService/Status", "status"),
    ],
)
def test_operations(method: str, operation: str) -> None:
    assert operation_of(method) == operation


def test_configz_has_upstreams_kind() -> None:
    made = configuration(KubeletSettings("n", "10.0.0.1", Path("/x"), Path("/s"), max_pods=7))
    assert (made["kind"], made["maxPods"], made["nodeStatusReportFrequency"]) == ("KubeletConfiguration", 7, "5m0s")
