"""A CI-sized number of the seeded runs; `torture.py --runs N` does thousands."""

import importlib.util
import os
from pathlib import Path

_spec = importlib.util.spec_from_file_location("torture", Path(__file__).with_name("torture.py"))
assert _spec is not None
assert _spec.loader is not None
torture = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(torture)


def test_whatever_ends_the_process_nothing_is_lost(tmp_path) -> None:
    runs = int(os.environ.get("TIPHYS_TORTURE_RUNS", "12"))
    ends = torture.torture(tmp_path, runs, seed=20)
    assert len(set(ends)) > 4
