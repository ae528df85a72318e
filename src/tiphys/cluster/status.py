"""`tiphys status`: the processes of the cluster with their memory, and the nodes as the API sees them."""

from __future__ import annotations

from pathlib import Path

from tiphys.cluster import probe
from tiphys.cluster.process import running
from tiphys.cluster.settings import DataDirectory
from tiphys.cluster.supervisor import programs_of, supervisor_program


def show(data: DataDirectory) -> int:
    """Print a table; returns 0 when all runs and every node is ready, else 1."""
    settings = data.load_settings()
    if settings is None:
        print(f"No cluster in {data.root}. `tiphys up` makes one.")
        return 1
    rows = [("PROCESS", "PID", "MEMORY")]
    whole = True
    for program in (supervisor_program(data), *programs_of(data, settings)):
        pid = running(program.pid_file(data.run))
        whole &= bool(pid)
        rows.append((program.name, str(pid) if pid else "-", f"{resident_mb(pid):.0f} MB" if pid else "stopped"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    ready = probe.ready_nodes(data, settings)
    own = f"https://127.0.0.1:{settings.api_port}"
    print(f"\nAPI server  {own if settings.control_plane else ' '.join(data.other_servers())}")
    print(f"Nodes       {len(ready)} of {settings.nodes} ready ({settings.runtime})")
    print(f"Data        {data.root}")
    return 0 if whole and len(ready) >= settings.nodes else 1


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 1e6
