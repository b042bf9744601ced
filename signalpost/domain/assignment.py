"""Sticky assignment: the same person always falls on the same side."""

import hashlib
from collections.abc import Mapping


def share(salt: str, customer_id: str) -> float:
    """Give the person's place in [0, 1) under this salt; even, and unrelated to other salts."""
    digest = hashlib.sha256(f"{salt}\x00{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def arm(salt: str, customer_id: str, weights: Mapping[str, float]) -> str:
    """Give the arm this person belongs to, by weight.

    Raises:
        ValueError: no weight is above zero.
    """
    total = sum(weights.values())
    if total <= 0:
        raise ValueError("a split needs at least one weight above zero")
    place = share(salt, customer_id) * total
    for name, weight in weights.items():
        if place < weight:
            return name
        place -= weight
    return list(weights)[-1]
