"""A decoder under atheris, guided by coverage: python tests/fuzz/guided.py TARGET [libFuzzer options].

For example `cel -max_total_time=600`. Needs the extra `fuzz`.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tiphys.api", "tiphys.base"]):
    from decoders import TARGETS


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        raise SystemExit(f"usage: guided.py {{{','.join(TARGETS)}}} [libFuzzer options]")
    target, corpus = TARGETS[name]
    for data in corpus:
        target(data)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
