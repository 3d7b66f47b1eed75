"""Since when records of a partition have been there, by what this process saw: a timestamp may be anything."""

from collections import deque
from typing import Final

_APART_SECONDS: Final = 1.0
_MOST: Final = 512


class Arrivals:
    """The ends that a partition's log had, each with the monotonic time at which it was first seen.

    A record arrived when the first end behind it was seen, or at most a second later. Of very many ends two that
    follow each other are kept as one, with the earlier time.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque()

    def see(self, end: int, now: float) -> None:
        """Note where the log ends."""
        if not self._seen:
            self._seen.append((end, now))
            return
        last, at = self._seen[-1]
        if end <= last:
            return
        if now - at < _APART_SECONDS:
            self._seen[-1] = (end, at)
            return
        self._seen.append((end, now))
        if len(self._seen) > _MOST:
            pairs = list(self._seen)
            self._seen = deque((later[0], earlier[1]) for earlier, later in zip(pairs[::2], pairs[1::2], strict=False))
            if len(pairs) % 2:
                self._seen.append(pairs[-1])

    def since(self, offset: int) -> float | None:
        """When the record at that offset had arrived; None if the log was not seen to reach it.

        What is before that offset is forgotten.
        """
        while self._seen and self._seen[0][0] <= offset:
            if len(self._seen) == 1:
                return None
            self._seen.popleft()
        return self._seen[0][1] if self._seen else None
