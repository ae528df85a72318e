"""Reads the part of the Dockerfile language that needs no container to build.

FROM, COPY, ADD (local files), ENV, ARG, WORKDIR, USER, EXPOSE, LABEL, STOPSIGNAL, ENTRYPOINT, CMD. RUN is
refused with its line number: it needs a container, and images that need it are built elsewhere and loaded.

Source: the Dockerfile reference of the OCI image tools, for syntax.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tiphys.cluster.failure import ClusterError

_KNOWN = frozenset(
    (
        "FROM",
        "COPY",
        "ADD",
        "ENV",
        "ARG",
        "WORKDIR",
        "USER",
        "EXPOSE",
        "LABEL",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    )
)
_VARIABLE = re.compile(r"\\\$|\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_EXPANDED = frozenset(("FROM", "COPY", "ADD", "ENV", "WORKDIR", "USER", "EXPOSE", "LABEL", "STOPSIGNAL"))
_LINES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction with its arguments still as text."""

    line: int
    word: str
    rest: str

    def refuse(self, why: str) -> ClusterError:
        return ClusterError(f"Dockerfile line {self.line}: {self.word} {self.rest}: {why}", "see docs/images.md")

    def words(self) -> list[str]:
        """The arguments, from either form: `["a", "b"]` or `a b`."""
        if self.rest.startswith("["):
            return self.exec_form()
        try:
            return shlex.split(self.rest)
        except ValueError as error:
            raise self.refuse(str(error)) from error

    def exec_form(self) -> list[str]:
        try:
            words = json.loads(self.rest)
        except json.JSONDecodeError as error:
            raise self.refuse(f"not a JSON list: {error}") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise self.refuse("must be a list of strings")
        return words

    def command(self) -> list[str]:
        """For ENTRYPOINT and CMD: the exec form as it is, the shell form through /bin/sh."""
        return self.exec_form() if self.rest.startswith("[") else ["/bin/sh", "-c", self.rest]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """For ENV and LABEL: `a=b c="d e"`, or the old `a b`."""
        words = self.words()
        if words and "=" not in words[0]:
            yield words[0], " ".join(words[1:])
            return
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise self.refuse(f"{word!r} is not NAME=VALUE")
            yield name, value


def parse(text: str) -> list[Instruction]:
    """The instructions in order, continuation lines joined. Raises ClusterError with the line's number."""
    found: list[Instruction] = []
    pending, first_line = "", 0
    lines = text.splitlines()
    if len(lines) > _LINES_MAX:
        raise ClusterError(f"the Dockerfile has more than {_LINES_MAX} lines")
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        first_line = first_line if pending else number
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        word, _, rest = (pending + stripped).partition(" ")
        found.append(_checked(Instruction(first_line, word.upper(), rest.strip())))
        pending = ""
    if pending:
        raise ClusterError(f"Dockerfile line {first_line}: the last line ends with a backslash")
    if not found or found[0].word not in ("FROM", "ARG"):
        raise ClusterError("a Dockerfile begins with FROM", "write `FROM scratch` or `FROM busybox`")
    return found


def _checked(instruction: Instruction) -> Instruction:
    if instruction.word == "RUN":
        raise instruction.refuse(
            "RUN needs a container to build in; build such images elsewhere and `tiphys image load` them"
        )
    if instruction.word not in _KNOWN:
        raise instruction.refuse(f"unknown or unsupported instruction {instruction.word}")
    if not instruction.rest:
        raise instruction.refuse("needs an argument")
    return instruction


def expanded(instruction: Instruction, variables: Mapping[str, str]) -> Instruction:
    """`$NAME` and `${NAME:-default}` replaced where Docker replaces them; unknown names become empty."""
    if instruction.word not in _EXPANDED:
        return instruction

    def value(match: re.Match[str]) -> str:
        if match[0].startswith("\\"):
            return "$"
        return variables.get(match[1] or match[3]) or match[2] or ""

    return Instruction(instruction.line, instruction.word, _VARIABLE.sub(value, instruction.rest))
