"""Whether this worker reaches Kafka: checked before it leads, while it stands by, and when its term hears nothing.

A worker that does not reach Kafka can do nothing for a ledger but keep others from it (docs/decisions/0014).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from worker.backoff import Backoff
from worker.errors import Transient, UsageError
from worker.kafka.contact import reached_servers
from worker.kafka.servers import listed_servers

AWAY_SECONDS: Final = 15.0
"""Five leases: a leader that has not reached Kafka for so long lets another worker try."""

_CONTACT_SECONDS: Final = 4.0
_WATCH_SECONDS: Final = 5.0
_FAILURES: Final = 2
_TICK_SECONDS: Final = 1.0
_REPEAT_SECONDS: Final = 60.0
"""The same trouble is logged again after this long."""

_log = structlog.get_logger(__name__)


class KafkaReach:
    """What this worker knows of its way to Kafka. `kafka` are aiokafka's connection arguments, as they are set."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self.trouble: str | None = None
        """Why Kafka cannot be used, in words; None while it can."""
        self._set = kafka
        self._servers = str(kafka["bootstrap_servers"])
        self._logged_at = -_REPEAT_SECONDS

    @property
    def kafka(self) -> Mapping[str, Any]:
        """The connection arguments, with those of the listed servers that answered last."""
        return {**self._set, "bootstrap_servers": self._servers}

    async def established(self) -> None:
        """Wait until Kafka is reached; meanwhile `trouble` says what is in the way, and so does the log."""
        backoff = Backoff()
        while not await self.is_there():
            await backoff.pause()

    async def lost(self) -> None:
        """Wait until Kafka is not reached any more, twice in a row: a busy broker may be late once."""
        failures = 0
        while failures < _FAILURES:
            if await self.is_there():
                failures = 0
                await asyncio.sleep(_WATCH_SECONDS)
            else:
                failures += 1

    async def is_there(self) -> bool:
        """Whether Kafka is reached now."""
        try:
            self._servers = await reached_servers(self._set, _CONTACT_SECONDS)
        except (UsageError, Transient) as error:
            self._note(str(error))
            return False
        if self.trouble is not None:
            _log.info("kafka.reached", servers=self._servers)
        self.trouble = None
        return True

    async def away(self, hears: Callable[[], bool], servers: str) -> None:
        """Wait until `hears` was false for so long that another worker should try, and a new connection fails as well.

        `servers` are those that the term was given.

        Raises:
            Transient: new connections succeed, but to none of these servers.
        """
        given = set(listed_servers(servers))
        heard_at = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if hears():
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > AWAY_SECONDS:
                if not await self.is_there():
                    return
                if not given & set(listed_servers(self._servers)):
                    raise Transient(f"Kafka is reached at {self._servers} now, and no longer where it was")
                heard_at = time.monotonic()

    def _note(self, trouble: str) -> None:
        now = time.monotonic()
        if trouble != self.trouble or now - self._logged_at >= _REPEAT_SECONDS:
            self._logged_at = now
            _log.warning("kafka.not_reached", error=trouble)
        self.trouble = trouble
