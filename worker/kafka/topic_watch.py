"""Whether the worker's own topics are as they must be: before it starts, and now and then while it leads."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError

from worker.kafka.broker import probing
from worker.kafka.topics import TopicCheck, check_topics

_FIRST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 300.0
_AWAY: Final = (KafkaError, OSError, TimeoutError)

_log = structlog.get_logger(__name__)


class TopicWatch:
    """Looks at the topics again and again, in the worker that leads. `run` as a task; `wrong` says what is wrong.

    `kafka` holds aiokafka's connection arguments.
    """

    def __init__(self, kafka: Mapping[str, Any], prefix: str, *, look_seconds: float = _LOOK_SECONDS) -> None:
        self._kafka, self._prefix, self._look_seconds = kafka, prefix, look_seconds
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Look until cancelled. Whatever a look meets, only the looks suffer from it."""
        unseen: tuple[str, ...] = ()
        while True:
            try:
                async with probing(self._kafka) as probe:
                    check = await check_topics(probe, self._prefix)
            except Exception as error:  # noqa: BLE001 - even a bug here may stop the looks only, never the worker
                _log.debug("topics.not_looked_at", error=repr(error))
            else:
                _log_what_is_new(check, self.wrong, unseen)
                self.wrong, unseen = [str(wrong) for wrong in check.wrong], check.unseen
            await asyncio.sleep(self._look_seconds)


async def fatal_before_start(kafka: Mapping[str, Any], prefix: str) -> str | None:
    """Why a worker should not start with these topics, in one line; None: no reason, or Kafka does not answer now.

    A Kafka that is away is not spoken of here: the worker waits for it and says so.
    """
    library_log = logging.getLogger("aiokafka")
    level = library_log.level
    library_log.setLevel(logging.CRITICAL)
    try:
        async with probing(kafka, _FIRST_SECONDS) as probe:
            check = await check_topics(probe, prefix)
    except _AWAY:
        return None
    finally:
        library_log.setLevel(level)
    return next((str(wrong) for wrong in check.wrong if wrong.is_fatal), None)


def _log_what_is_new(check: TopicCheck, known: list[str], unseen: tuple[str, ...]) -> None:
    for wrong in map(str, check.wrong):
        if wrong not in known:
            _log.error("topics.wrong", problem=wrong)
    if check.unseen and check.unseen != unseen:
        _log.info(
            "topics.not_seen",
            topics=list(check.unseen),
            why="this user may not see their settings (DESCRIBE_CONFIGS), so nobody knows whether they are right",
        )
