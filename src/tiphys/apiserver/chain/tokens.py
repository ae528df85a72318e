"""Bearer tokens: what a source of them offers, and the configured ones (the token file, the administrator's).

Source: staging/src/k8s.io/apiserver/pkg/authentication/{authenticator,token/tokenfile}.
"""

from __future__ import annotations

import csv
import hmac
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tiphys.apiserver.chain.certificates import AUTHENTICATED
from tiphys.apiserver.request import User


class InvalidToken(Exception):
    """A token that someone here knows and that is not, or no longer, good. The text is safe to show."""


class Found(NamedTuple):
    """Whose a token is."""

    user: User
    audiences: tuple[str, ...]
    """Of those asked for, the ones that the token is for."""


class TokenSource(Protocol):
    """Somebody who knows tokens."""

    async def find(self, token: str, audiences: Sequence[str]) -> Found | None:
        """None: not one of mine. Raises InvalidToken: one of mine, and no good."""


def agnostic(user: User, wanted: Sequence[str], ours: Sequence[str]) -> Found | None:
    """For tokens that know no audience: they are for us, and for nobody else."""
    common = tuple(audience for audience in wanted if audience in ours)
    return Found(user, common) if common else None


def read_token_file(path: Path) -> dict[str, User]:
    """Lines of `token,user,uid,"group1,group2"`. Raises OSError, and ValueError naming the line that is short."""
    found: dict[str, User] = {}
    for number, row in enumerate(csv.reader(io.StringIO(path.read_text()), skipinitialspace=True), start=1):
        if not row or not "".join(row).strip():
            continue
        if len(row) < 3:
            raise ValueError(
                f"token file {path}, line {number}: must have at least 3 columns (token, user name, user uid), "
                f"found {len(row)}"
            )
        if not row[0]:
            continue
        groups = tuple(group.strip() for group in row[3].split(",")) if len(row) > 3 and row[3] else ()
        found[row[0]] = User(row[1], row[2], (*groups, AUTHENTICATED))
    return found


class StaticTokens:
    """Tokens known in full. Compared without leaking where they differ."""

    def __init__(self, tokens: dict[str, User], audiences: Sequence[str] = ()) -> None:
        self._tokens = [(token.encode(), user) for token, user in tokens.items()]
        self._audiences = tuple(audiences)

    def user(self, token: str) -> User | None:
        given = token.encode("utf-8", "surrogateescape")
        found: User | None = None
        for known, user in self._tokens:
            if hmac.compare_digest(known, given):
                found = user
        return found

    async def find(self, token: str, audiences: Sequence[str]) -> Found | None:
        user = self.user(token)
        return None if user is None else agnostic(user, audiences, self._audiences)
