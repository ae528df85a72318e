"""Shuffle sharding: each flow gets a hand of queues, so that a greedy one spoils few queues of any other.

Source: staging/src/k8s.io/apiserver/pkg/util/shufflesharding.
"""

from __future__ import annotations

import hashlib


def flow_hash(schema: str, distinguisher: str) -> int:
    """64 bits that name a flow."""
    digest = hashlib.sha256(f"{schema},{distinguisher}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "little")


def hand(hash_value: int, deck: int, size: int) -> tuple[int, ...]:
    """`size` different numbers below `deck`, dealt by the hash as cards are."""
    remainders = []
    for dealt in range(size):
        hash_value, remainder = divmod(hash_value, deck - dealt)
        remainders.append(remainder)
    cards: list[int] = []
    for index, remainder in enumerate(remainders):
        card = remainder
        for earlier in sorted(cards[:index]):
            if card >= earlier:
                card += 1
        cards.append(card)
    return tuple(cards)
