"""What an admission plugin is."""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.registry.interface import AdmissionRequest


class Plugin:
    """One link of the chain. A plugin overrides `concerns` and at least one of `admit` and `validate`."""

    name = ""
    """Upstream's name, as --disable-admission-plugins spells it."""

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        """Whether requests of this sort may matter. Asked once per sort: the answer never changes."""
        return True

    async def admit(self, request: AdmissionRequest) -> None:
        """May change or replace `request.obj`. Raises ApiError to refuse."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises ApiError to refuse; changes nothing."""
