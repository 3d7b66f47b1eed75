"""How far behind the input a ledger is, asked of Kafka and the ledger, whether or not a worker runs."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from worker.domain.rule_catalogue import RULES
from worker.kafka.broker import Probe, TopicLook, TopicLooks, probing
from worker.kafka.holds import Holds, hold_of
from worker.kafka.input.verify import Verdict, verify
from worker.kafka.records import Position, TopicPartition
from worker.kafka.topics import check_topics, fewer_partitions, output_topic_specs
from worker.kafka.troubles import NO_LEADER, Hidden, shared_group_in_words
from worker.queries.hidden import hidden_records
from worker.settings import Settings


class Holder(msgspec.Struct, frozen=True):
    """The partition that holds business time back, and where its own clock stands (None: nothing decided)."""

    topic: str
    partition: int
    clock: datetime | None


class StoppedPartition(msgspec.Struct, frozen=True):
    """A partition that is not read on, and the command that mends it."""

    topic: str
    partition: int
    reason: str


class UnavailablePartition(msgspec.Struct, frozen=True):
    """A partition that cannot be read now; `reason` is the end of a sentence about it."""

    topic: str
    partition: int
    reason: str


class HiddenRecords(msgspec.Struct, frozen=True):
    """Records behind an open transaction of another producer: how many at most, and since when."""

    topic: str
    partition: int
    records: int
    since: datetime
    producer_id: int | None

    @property
    def as_trouble(self) -> Hidden:
        """The same, to be put into words."""
        return Hidden(self.records, self.since, self.producer_id)


class Lag(msgspec.Struct, frozen=True):
    """What is not decided yet, up to the last stable offset of each partition that can be asked.

    `seconds` is for how long the oldest record has been there. Kafka does not say that: a timestamp is what a producer
    claims. So it is 0 until the caller, who may know it, sets it.

    `unwritable` are partitions of the worker's own topics: nothing can be published while one cannot be written.
    `wrong_topics` says in words which of them have settings that they must not have.
    """

    records: int
    seconds: float
    by_topic: dict[str, int]
    held_back_by: Holder | None
    missing_topics: list[str]
    missing_outputs: list[str]
    stopped: list[StoppedPartition]
    hidden: list[HiddenRecords] = []
    unavailable: list[UnavailablePartition] = []
    unwritable: list[UnavailablePartition] = []
    wrong_topics: list[str] = []
    shared_group: str | None = None
    """What is wrong, in words, if the workers' consumer group has members."""
    on_hold: dict[TopicPartition, int] = {}
    """How many of the records are of each partition that an operator has put on hold."""

    @property
    def not_on_hold(self) -> int:
        """How many records wait that nobody wants to wait."""
        return self.records - sum(self.on_hold.values())


async def measure_lag(
    settings: Settings,
    positions: Mapping[TopicPartition, Position],
    holds: Holds,
    in_use: Mapping[str, int] | None = None,
) -> Lag:
    """Compare the positions with the ends of the logs, and the worker's topics with what they must be.

    `holds` is what is on hold, `in_use` the partition counts of output topics by which their keys are spread.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away, or too slow.
    """
    async with probing(settings.kafka_kwargs()) as probe:
        return await _measure(settings, probe, positions, holds, in_use or {})


async def log_of(
    settings: Settings, source: TopicPartition, positions: Mapping[TopicPartition, Position]
) -> Literal["missing", "as read", "another", "unknown"]:
    """Whether Kafka has that partition, and its log is the one that the ledger knows, as far as its records tell.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away, or too slow.
    """
    tp = KafkaPartition(settings.topic_prefix + source.topic, source.partition)
    async with probing(settings.kafka_kwargs()) as probe:
        looks = await probe.topics({tp.topic})
        if tp.topic in looks.denied:
            return "unknown"
        if tp.topic not in looks.found or tp.partition not in looks.found[tp.topic].leaders:
            return "missing"
        found = (await verify(probe, looks.found, {tp: source}, positions))[source]
        if found.unavailable is not None:
            return "unknown"
        return "as read" if found.wrong is None else "another"


async def _measure(
    settings: Settings,
    probe: Probe,
    positions: Mapping[TopicPartition, Position],
    holds: Holds,
    in_use: Mapping[str, int],
) -> Lag:
    names = {settings.topic_prefix + topic: topic for topic in RULES}
    looks = await probe.topics(names)
    outputs = {settings.topic_prefix + spec.name for spec in output_topic_specs()}
    outputs_found = await probe.topics(outputs)
    missing = sorted(name for topic, name in names.items() if topic not in looks.found.keys() | looks.denied.keys())
    missing_outputs = sorted(outputs - outputs_found.found.keys() - outputs_found.denied.keys())
    sources = _sources(looks, names, positions)
    verdicts = await _verdicts(probe, looks, sources, positions)
    available = {
        topic: TopicLook(look.topic_id, asked)
        for topic, look in looks.found.items()
        if (asked := {p: leader for p, leader in look.leaders.items() if not _away(verdicts, names, topic, p)})
    }
    starts = (await probe.starts(available)).known
    log_ends = (await probe.ends(available)).known  # asked before: what is written meanwhile is not hidden
    ends = (await probe.stable_ends(available)).known
    for tp, why in (await probe.unreadable(available, ends)).items():
        verdicts[sources[tp]] = Verdict(verdicts[sources[tp]].offset, unavailable=why)
    behind: dict[KafkaPartition, int] = {}
    by_topic = dict.fromkeys(sorted(names[topic] for topic in looks.found), 0)
    for tp, source in sources.items():
        if tp in starts and tp in ends:
            reads_from = max(verdicts[source].offset, starts[tp])
            if reads_from < ends[tp]:
                behind[tp] = reads_from
                by_topic[source.topic] += ends[tp] - reads_from
    hidden = [
        HiddenRecords(*sources[tp], found.records, found.since, found.producer_id)
        for tp, found in sorted((await hidden_records(probe, available, ends, log_ends)).items())
    ]
    stopped = [StoppedPartition(*source, verdict.wrong) for source, verdict in verdicts.items() if verdict.wrong]
    unavailable = [
        UnavailablePartition(*source, verdict.unavailable)
        for source, verdict in verdicts.items()
        if verdict.unavailable is not None
    ]
    waiting = {sources[tp] for tp in behind}
    waiting |= {source for source, verdict in verdicts.items() if verdict.wrong or verdict.unavailable}
    waiting |= {TopicPartition(row.topic, row.partition) for row in hidden}
    on_hold = {tp: hold for tp, source in sources.items() if (hold := hold_of(holds, source)) is not None}
    waiting |= {sources[tp] for tp in on_hold}
    waiting -= {sources[tp] for tp, hold in on_hold.items() if hold.lets_time_go_on}
    return Lag(
        sum(by_topic.values()),
        0.0,
        by_topic,
        _holder(settings, waiting, positions),
        missing,
        missing_outputs,
        stopped,
        hidden,
        unavailable,
        _unwritable(outputs_found),
        [
            *(str(wrong) for wrong in (await check_topics(probe, settings.topic_prefix)).wrong),
            *fewer_partitions(outputs_found.found, settings.topic_prefix, in_use),
        ],
        await _shared_group(probe, settings.kafka_group_id),
        {sources[tp]: ends[tp] - behind[tp] if tp in behind else 0 for tp in on_hold},
    )


async def _shared_group(probe: Probe, group_id: str) -> str | None:
    try:
        return shared_group_in_words(group_id) if await probe.group_members(group_id) else None
    except (KafkaError, OSError, TimeoutError):
        return None  # a right that is missing, or a cluster's first group: nobody is hindered by that


def _sources(
    looks: TopicLooks, names: Mapping[str, str], positions: Mapping[TopicPartition, Position]
) -> dict[KafkaPartition, TopicPartition]:
    """The partitions there are; of a topic whose partitions we may not see, those that were read, or the first."""
    sources = {
        KafkaPartition(topic, partition): TopicPartition(names[topic], partition)
        for topic, look in sorted(looks.found.items())
        for partition in look.leaders
    }
    for topic in looks.denied:
        known = [source for source in positions if source.topic == names[topic]] or [TopicPartition(names[topic], 0)]
        sources |= {KafkaPartition(topic, source.partition): source for source in known}
    return sources


async def _verdicts(
    probe: Probe,
    looks: TopicLooks,
    sources: Mapping[KafkaPartition, TopicPartition],
    positions: Mapping[TopicPartition, Position],
) -> dict[TopicPartition, Verdict]:
    seen = {tp: source for tp, source in sources.items() if tp.topic in looks.found}
    verdicts = await verify(probe, looks.found, seen, positions) if seen else {}
    for tp, source in sources.items():
        if tp.topic in looks.denied:
            verdicts[source] = Verdict(0, unavailable=looks.denied[tp.topic])
    return verdicts


def _away(verdicts: Mapping[TopicPartition, Verdict], names: Mapping[str, str], topic: str, partition: int) -> bool:
    return verdicts[TopicPartition(names[topic], partition)].unavailable is not None


def _unwritable(outputs: TopicLooks) -> list[UnavailablePartition]:
    """The partitions of the worker's own topics that nothing can be written to now."""
    found = [
        UnavailablePartition(topic, partition, NO_LEADER)
        for topic, look in sorted(outputs.found.items())
        for partition, leader in sorted(look.leaders.items())
        if leader < 0
    ]
    return found + [UnavailablePartition(topic, 0, why) for topic, why in sorted(outputs.denied.items())]


def _holder(
    settings: Settings, waiting: set[TopicPartition], positions: Mapping[TopicPartition, Position]
) -> Holder | None:
    """Of the partitions that are not read to their end, the one whose clock is furthest behind, beyond the grace."""
    clocks = {source: positions[source].running_max if source in positions else None for source in waiting}
    if not clocks:
        return None
    never = datetime.min.replace(tzinfo=UTC)
    source, clock = min(clocks.items(), key=lambda item: (item[1] or never, item[0].topic, item[0].partition))
    if clock is not None and clock >= settings.wall_clock().now() - max(settings.grace, timedelta(0)):
        return None
    return Holder(source.topic, source.partition, clock)
