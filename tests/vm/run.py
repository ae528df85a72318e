"""A fresh Debian 12 in a virtual machine, with this checkout in it: what no other kernel at hand can show.

    tests/vm/run.py                the README's way, then all tests of tests/vm/parts
    tests/vm/run.py up volumes     these parts alone
    tests/vm/run.py --shell        a root console in the machine; Ctrl-A X ends it

The image is made once, under a cache directory; every run boots a copy of it that is thrown away. The output is the
machine's console, and the exit status is that of the parts. Its network is qemu's own and leads only out: package
registries are reached as this machine reaches them, with its certificates and pip's settings.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
CACHE = Path(os.environ.get("TIPHYS_VM_CACHE", Path.home() / ".cache/tiphys-vm"))
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
}
"""What making and running the machine takes, and Debian's packages of it."""
PACKAGES = """
    systemd-sysv dbus udev kmod linux-image-amd64 ca-certificates iproute2 procps make python3 e2fsprogs apparmor
    openssh-server nfs-kernel-server tgt open-iscsi ipvsadm
"""
"""A small Debian with Python, as the README asks for; in the last line the servers and tools of the tests."""
DISK = "16G"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in (HERE / "parts").iterdir())
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(known)}; all of them")
    parser.add_argument("--shell", action="store_true", help="a console instead of the parts")
    parser.add_argument("--memory", default="5G")
    parser.add_argument("--timeout", type=int, default=7200, help="seconds after which the machine is switched off")
    parser.add_argument("--ssh-port", type=int, help="of 127.0.0.1, led to the machine's port 22 (key: ~/.ssh)")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(known):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    if missing := obstacle():
        print(f"The virtual machine cannot run here: {missing}.", file=sys.stderr)
        return 2
    image = made_image()
    with tempfile.TemporaryDirectory(prefix="tiphys-vm-", dir=CACHE) as scratch:
        parts = [] if chosen.shell else chosen.parts or known
        return boot(image, Path(scratch), parts, chosen)


def obstacle() -> str:
    """What is missing, in words that follow a colon; empty where nothing is."""
    if absent := [package for program, package in PROGRAMS.items() if shutil.which(program) is None]:
        return f"install {' '.join(absent)}"
    if os.geteuid() != 0:
        return "making a file system with its owners needs root"
    return ""


def processor() -> tuple[str, ...]:
    """The machine's own where it can be lent out, else an emulated one: ten times slower, and just as true."""
    if lent():
        return "-accel", "kvm", "-cpu", "host"
    # Without AVX: emulated, it costs more than it gives.
    return "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "Nehalem"


def lent() -> bool:
    """Whether this machine's processor runs guests: KVM of other kinds (kvm_pvm) runs only kernels made for it."""
    kinds = (Path("/sys/module", f"kvm_{of}") for of in ("intel", "amd"))
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and any(kind.exists() for kind in kinds)


def made_image() -> Path:
    """The directory with `disk`, `vmlinuz` and `initrd`; made anew when its recipe, which is this file, changes."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    image = CACHE / f"debian-12-{recipe}"
    if image.exists():
        return image
    CACHE.mkdir(parents=True, exist_ok=True)
    print(f"Making {image} (some minutes, once)", flush=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=CACHE) as work:
        root, made = Path(work, "root"), Path(work, "made")
        made.mkdir()
        include = f"--include={','.join(PACKAGES.split())}"
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", include, "bookworm", root], check=True)
        furnish(root)
        for name in ("vmlinuz", "initrd.img"):
            (found,) = (root / "boot").glob(f"{name}-*")
            shutil.copyfile(found, made / name.removesuffix(".img"))
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, made / "disk", DISK], check=True)
        made.rename(image)
    return image


def furnish(root: Path) -> None:
    """The few files that make it a machine: its disks, its network, and the unit that runs the parts."""
    units = root / "etc/systemd/system"
    files = {
        "etc/hostname": "vm\n",
        "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 vm\n",
        "etc/fstab": "/dev/vda / ext4 defaults 0 1\n"
        "source /mnt/source 9p trans=virtio,version=9p2000.L,msize=262144,ro 0 0\n"
        "host /mnt/host 9p trans=virtio,version=9p2000.L,msize=262144 0 0\n",
        "etc/systemd/network/uplink.network": "[Match]\nType=ether\n[Network]\nDHCP=yes\n",
        "etc/systemd/system/tiphys-vm.service": "[Unit]\nAfter=network-online.target ssh.service\n"
        "Wants=network-online.target\nRequiresMountsFor=/mnt/source /mnt/host\n"
        "SuccessAction=poweroff\nFailureAction=poweroff\n"
        "[Service]\nType=oneshot\nExecStart=/bin/bash /mnt/host/run\nWorkingDirectory=/root\nEnvironment=HOME=/root\n"
        "StandardInput=tty\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS0\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for unit in ("tiphys-vm.service", "/lib/systemd/system/systemd-networkd.service"):
        wants = units / "multi-user.target.wants" / Path(unit).name
        wants.parent.mkdir(exist_ok=True)
        wants.symlink_to(units / unit)
    for unit in ("serial-getty@ttyS0.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
        (units / unit).symlink_to("/dev/null")
    for directory in ("mnt/source", "mnt/host"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")


@contextlib.contextmanager
def shared(scratch: Path, parts: list[str]) -> Iterator[Path]:
    """The directory through which the machine gets its orders and gives back `status`."""
    host = scratch / "host"
    host.mkdir()
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        shutil.copyfile(certificates, host / certificates.name)
    if (keys := sorted(Path.home().glob(".ssh/*.pub"))) and parts == []:
        (host / "authorized_keys").write_text("".join(key.read_text() for key in keys))
    settings = {"TIPHYS_TEST_PATIENCE": "1" if lent() else "10"}
    settings |= {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "http_", "https_", "no_"))
    }
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    body = (HERE / "guest.sh").read_text()
    (host / "run").write_text(f"set -- {' '.join(parts)}\n{exports}{body}")
    yield host


def boot(image: Path, scratch: Path, parts: list[str], chosen: argparse.Namespace) -> int:
    disk = scratch / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image / "disk", "-F", "raw", disk], check=True)
    with shared(scratch, parts) as host:
        forward = f",hostfwd=tcp:127.0.0.1:{chosen.ssh_port}-:22" if chosen.ssh_port else ""
        command = [
            *("nice", "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"),
            *("-machine", "q35", *processor(), "-smp", "2", "-m", chosen.memory),
            *("-kernel", image / "vmlinuz", "-initrd", image / "initrd"),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 net.ifnames=0"),
            *("-drive", f"file={disk},if=virtio,cache=unsafe"),
            *("-nic", f"user,model=virtio-net-pci{forward}"),
            *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
            *("-virtfs", f"local,path={SOURCE},mount_tag=source,security_model=none,readonly=on,multidevs=remap"),
            *("-virtfs", f"local,path={host},mount_tag=host,security_model=none,multidevs=remap"),
            *("-serial", "mon:stdio"),
        ]
        try:
            subprocess.run(
                command, check=True, timeout=chosen.timeout, stdin=None if chosen.shell else subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            print(f"The machine was switched off after {chosen.timeout} s.", file=sys.stderr)
            return 1
        status = host / "status"
        return int(status.read_text()) if status.exists() else 1


if __name__ == "__main__":
    sys.exit(main())
