"""What evaluating a policy may say."""

from __future__ import annotations

from typing import NamedTuple


class Denial(NamedTuple):
    """One validation that was not satisfied."""

    position: int
    """Which validation."""
    message: str
    reason: str = "Invalid"
    enforced: bool = False
    """The request is refused whatever the binding's actions say."""
    ignored: bool = False
    """It failed, and the policy says to go on then."""
    seconds: float = 0.0
    """How long the expression took."""


class PolicyFailed(Exception):
    """Match conditions or a mutation that could not be evaluated; the text is for the client."""
