"""Bearer tokens that are configured, not issued: the token file and the administrator's token.

Source: staging/src/k8s.io/apiserver/pkg/authentication/token/tokenfile.
"""

from __future__ import annotations

import csv
import hmac
import io
from pathlib import Path

from tiphys.apiserver.chain.certificates import AUTHENTICATED
from tiphys.apiserver.request import User


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

    def __init__(self, tokens: dict[str, User]) -> None:
        self._tokens = [(token.encode(), user) for token, user in tokens.items()]

    def user(self, token: str) -> User | None:
        given = token.encode("utf-8", "surrogateescape")
        found: User | None = None
        for known, user in self._tokens:
            if hmac.compare_digest(known, given):
                found = user
        return found
