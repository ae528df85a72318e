"""Checks of the program against itself, too dear for every day.

`TIPHYS_VERIFY=1` turns them on: tests and soak runs have it, production does not. Guard what costs something with
`if verify.enabled:`; a check that fails is a defect of this program and raises `Broken`.
"""

from __future__ import annotations

import os

enabled: bool = os.environ.get("TIPHYS_VERIFY", "") not in ("", "0")


class Broken(AssertionError):
    """Two parts of the program disagree about a fact."""


def that(condition: bool, message: str) -> None:
    """Raise Broken unless `condition`. `message` says what must hold and what was seen."""
    if not condition:
        raise Broken(message)
