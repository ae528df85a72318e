"""A short walk around each decoder's corpus; `decoders.py` goes on for longer, guided by coverage."""

from __future__ import annotations

import os
from random import Random

import pytest

from fuzz.decoders import TARGETS, changed

EXAMPLES = int(os.environ.get("TIPHYS_FUZZ_EXAMPLES", "600"))


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_are_read_or_refused(name: str) -> None:
    target, corpus = TARGETS[name]
    random = Random(name)
    known = list(corpus)
    for data in corpus:
        target(data)
    for _ in range(EXAMPLES):
        data = changed(random.choice(known), random)
        try:
            target(data)
        except Exception as error:
            raise AssertionError(f"{name}: {data!r}") from error
        if random.random() < 0.2 and len(data) < 4000:
            known.append(data)
