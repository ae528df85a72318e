"""How long the control plane's process takes until /readyz says ok: over an empty store, and over one that exists.

python bench/coldstart.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import http.client
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence

import processes
from calibrate import calibrate
from cluster import Cluster, place
from results import Result, percentile, table


def ready_after_s(cluster: Cluster) -> tuple[float, float]:
    """Start the control plane alone, wait until it is ready, stop it: how long that took, and processor time."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tiphys", "control-plane", "--data-dir", str(cluster.data_dir)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _ready(cluster.port):
            if process.poll() is not None or time.perf_counter() - began_s > 60:
                raise SystemExit("the control plane did not become ready")
            time.sleep(0.005)
        return time.perf_counter() - began_s, processes.cpu_s([process.pid])
    finally:
        process.terminate()
        process.wait(30)


def _ready(port: int) -> bool:
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def measure(rounds: int) -> Sequence[Result]:
    first, again = [], []
    with place() as cluster:
        cluster.up(1)
        cluster.down()
        for _ in range(rounds):
            for file in (cluster.data_dir / "db").rglob("*"):
                if file.is_file():
                    file.unlink()
            first.append(ready_after_s(cluster))
            again.append(ready_after_s(cluster))
    return [_result("cold start, empty store", first), _result("cold start, existing store", again)]


def _result(name: str, starts: Sequence[tuple[float, float]]) -> Result:
    took_s, used_s = zip(*starts, strict=True)
    how = f"best {min(took_s):.2f} of {len(starts)}; processor {percentile(used_s, 0.5):.2f} s"
    return Result(name, percentile(took_s, 0.5), "s", how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(calibrate())
    print(table(measure(args.rounds)))


if __name__ == "__main__":
    main()
