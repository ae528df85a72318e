"""The one way a cluster command fails: a sentence about what is wrong, a sentence about what to do."""

from __future__ import annotations


class ClusterError(Exception):
    """Shown to the user as two lines, without a traceback; the exit code is 1."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} ({remedy})" if remedy else problem)
        self.problem = problem
        self.remedy = remedy
