"""`python -m tiphys.testing`: what `tiphys test-server` runs, without loading the other commands first."""

from __future__ import annotations

import argparse
import contextlib

from tiphys.testing import command

if __name__ == "__main__":
    parser = argparse.ArgumentParser("tiphys test-server", description=command.SUMMARY, allow_abbrev=False)
    command.add_flags(parser)
    with contextlib.suppress(KeyboardInterrupt):
        command.run(parser.parse_args())
