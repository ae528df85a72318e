"""Base images that this machine can make from its own packages, so that a build needs no registry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.images.rootfs import Layer

_USERS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"


def busybox_layer() -> bytes:
    """A root file system around Debian's static busybox: every applet as a link in /bin. Raises ClusterError."""
    binary = shutil.which("busybox")
    if binary is None:
        raise ClusterError("busybox is not installed", "apt-get install busybox-static")
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    content = Path(binary).read_bytes()
    if b"/lib64/ld-linux" in content[:4096]:
        raise ClusterError(f"{binary} is not a static binary", "apt-get install busybox-static")
    layer = Layer()
    layer.file("bin/busybox", content, 0o755)
    for applet in sorted(set(applets) - {"busybox"}):
        layer.link(f"bin/{applet}", "/bin/busybox")
    for directory, mode in (("root", 0o700), ("tmp", 0o1777), ("var/tmp", 0o1777), ("home", 0o755)):
        layer.directory(directory, mode)
    layer.file("etc/passwd", _USERS.encode())
    layer.file("etc/group", _GROUP.encode())
    layer.file("etc/nsswitch.conf", b"hosts: files dns\n")
    return layer.finish()


BASES = {"busybox": busybox_layer}
"""What `FROM name` (with any tag) means when no image of that name is on the shelf."""
