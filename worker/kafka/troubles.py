"""What keeps a partition from being read to its end though its log is in order, in words for operators.

It goes away by itself, or somebody else makes it go away; reading then goes on where it was. Meanwhile the others are
read, and the partition holds business time.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiokafka import errors

ALARM_SECONDS: Final = 5.0
"""Transactions end, and leaders move, within less: no alarm is raised, and the order of a catch-up waits for it."""

NO_LEADER: Final = "has no leader"

_WORDS: Final[dict[int, str]] = {
    errors.LeaderNotAvailableError.errno: NO_LEADER,
    errors.NotLeaderForPartitionError.errno: "has a leader that is changing",
    errors.ReplicaNotAvailableError.errno: NO_LEADER,
    errors.UnknownTopicOrPartitionError.errno: "is not known to the broker that leads it",
    errors.KafkaStorageError.errno: "cannot be read: the disk of its leader fails (KAFKA_STORAGE_ERROR)",
    errors.TopicAuthorizationFailedError.errno: (
        "cannot be read: this user has no right to it (READ and DESCRIBE on the topic)"
    ),
}


@dataclass(frozen=True, slots=True)
class Hidden:
    """Records of a partition behind an open transaction of another producer.

    `records` is the log's end less the last stable offset: how many at most. `producer_id` is None where not known.
    """

    records: int
    since: datetime
    producer_id: int | None = None

    @property
    def how_many(self) -> str:
        """Subject and verb of a sentence about the records."""
        return "1 record is" if self.records == 1 else f"at most {self.records} records are"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a partition cannot be read now, as the end of a sentence about it; `since` where it was watched."""

    why: str
    since: datetime | None = None


def what_code_says(code: int) -> str:
    """What an error code of a partition means: the end of a sentence about it."""
    return _WORDS.get(code) or f"cannot be read: its leader answers {_name(code)}"


def refusal(code: int, *about: object) -> errors.KafkaError:
    """The error that a partition's code means; it keeps the code, of which aiokafka does not know all."""
    error = errors.for_code(code)(*about)
    error.code = code
    return error


def what_error_says(error: BaseException, leader: int) -> str:
    """The same of what a question to a partition's leader ended in."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return what_code_says(code)
    if isinstance(error, errors.BrokerResponseError) and not isinstance(error, errors.RequestTimedOutError):
        return what_code_says(int(error.errno))
    return f"cannot be read: its leader, broker {leader}, does not answer"


def hidden_in_words(topic: str, partition: int, hidden: Hidden) -> str:
    """One line that says what is hidden, and what to do."""
    producer = "" if hidden.producer_id is None else f" (producer id {hidden.producer_id})"
    return (
        f"{topic}, partition {partition}: {hidden.how_many} hidden by an open transaction of another producer"
        f"{producer} since {_when(hidden.since)}; settlements, expiries and cycle starts wait for it. It ends when its "
        "producer ends it or is restarted, at the latest after that producer's transaction.timeout.ms"
    )


def shared_group_in_words(group_id: str) -> str:
    """One line that says why nobody should believe what the consumer group says of the lag."""
    return (
        f"the consumer group {group_id} has another member, so the worker's offsets are not committed there, and tools "
        "that show its lag are wrong. Give that member another group, or the workers another KAFKA_GROUP_ID"
    )


def unavailable_in_words(topic: str, partition: int, trouble: Unavailable) -> str:
    """One line that says why a partition is not read."""
    since = "" if trouble.since is None else f", since {_when(trouble.since)}"
    return (
        f"{topic}, partition {partition} {trouble.why}{since}; settlements, expiries and cycle starts wait for it. "
        "Reading goes on by itself when it can"
    )


def _when(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def _name(code: int) -> str:
    known = errors.kafka_errors.get(code)
    return f"error {code}" if known is None else str(known.message)
