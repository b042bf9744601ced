"""An even sample of a large audience, the same every time, without holding the audience."""

import heapq

from signalpost.domain import assignment


class Sample:
    """The people with the lowest places under a salt: an even sample, the same every time."""

    def __init__(self, salt: str, size: int) -> None:
        self.salt, self.size = salt, size
        self.heap: list[tuple[float, str]] = []

    def offer(self, ids: list[str]) -> None:
        """Look at more people; at most ``size`` are kept."""
        for customer in ids if self.size else ():
            entry = (-assignment.share(self.salt, customer), customer)
            if len(self.heap) < self.size:
                heapq.heappush(self.heap, entry)
            elif entry > self.heap[0]:
                heapq.heapreplace(self.heap, entry)

    def chosen(self) -> list[str]:
        """Give them in the order of their ids, which is the order on the disk."""
        return sorted(customer for _, customer in self.heap)
