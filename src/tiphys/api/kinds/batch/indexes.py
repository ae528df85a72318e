"""Whether a text is a set of indexes (`1,3-5,7`), and what is wrong with it.

Source: pkg/apis/batch/validation/validation.go (validateIndexesFormat).
"""

from __future__ import annotations

from collections.abc import Iterator


def check_indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes it holds, and what is wrong with it; empty: nothing."""
    total, last = 0, -1
    try:
        for first, end in _intervals(text, completions):
            if first <= last:
                return 0, f"non-increasing order, previous: {last}, current: {first}"
            total, last = total + end - first + 1, end
    except ValueError as error:
        return 0, str(error)
    return total, ""


def overlap(completed: str, failed: str, completions: int) -> int | None:
    """The first index that is in both; None: there is none. What makes no sense is left out."""
    ours, theirs = list(_sound(completed, completions)), list(_sound(failed, completions))
    common = [max(a[0], b[0]) for a in ours for b in theirs if a[0] <= b[1] and b[0] <= a[1]]
    return min(common, default=None)


def _sound(text: str, completions: int) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        try:
            yield from _intervals(part, completions)
        except ValueError:
            continue


def _intervals(text: str, completions: int) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            raise ValueError(
                f'the fragment "{part}" violates the requirement that an index interval can have at most two parts '
                "separated by '-'"
            )
        numbers = [_index(end, completions) for end in ends]
        if len(numbers) > 1 and numbers[0] >= numbers[1]:
            raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
        yield numbers[0], numbers[-1]


def _index(text: str, completions: int) -> int:
    if not text.isascii() or not text.removeprefix("+").isdigit():
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)
