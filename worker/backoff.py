"""Waiting between attempts."""

import asyncio
import random
from typing import Final

_SHORTEST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 5.0


class Backoff:
    """Pauses that double from 0.1 to 5 seconds, each spread by half."""

    def __init__(self) -> None:
        self._seconds = _SHORTEST_SECONDS

    async def pause(self) -> None:
        """Wait the next pause."""
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1.0))  # noqa: S311 - a spread, not a secret
        self._seconds = min(self._seconds * 2, _LONGEST_SECONDS)

    def reset(self) -> None:
        """Begin with short pauses again, after a success."""
        self._seconds = _SHORTEST_SECONDS
