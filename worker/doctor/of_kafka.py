"""Kafka as a worker needs it: servers, topics and their settings, leaders, rights, retention, the consumer group."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeVar

from aiokafka.errors import (
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorForGroupError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from worker.doctor.looks import Look, ok, unknown, wrong
from worker.domain.rule_catalogue import RULES
from worker.errors import Transient, UsageError, WorkerError
from worker.kafka.broker import Probe, probing
from worker.kafka.config_requests import SetTopicSettings
from worker.kafka.output.relay_opening import transactional_id_of
from worker.kafka.topics import check_topics, output_topic_specs
from worker.problems import NEXT
from worker.queries.asking import ledger_id_of, reached_kafka, snapshot
from worker.queries.lag import Lag, measure_lag
from worker.queries.positions import stored_holds, stored_positions
from worker.queries.status import topic_problems
from worker.settings import Settings
from worker.words.phrases import counted
from worker.words.times import lasting

_Told = TypeVar("_Told")

_FAILURES: Final = (UsageError, Transient)
_AWAY: Final = (KafkaError, OSError, TimeoutError)
_NOT_YET: Final = (CoordinatorNotAvailableError, GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
_FIRST_SECONDS: Final = 5.0
"""How long a cluster may take to make its own topics of transactions and groups, when it is first asked for them."""
_POLL_SECONDS: Final = 0.2
_RELEASES: Final = ((17, "3.9"), (16, "3.7"), (15, "3.5"), (13, "3.1"), (12, "2.7"), (11, "2.3"))
"""The newest fetch that a broker knows, and since which release of Kafka: it does not tell its release otherwise."""
_NEEDED: Final = {
    InitProducerIdRequest.API_KEY: "transactions (since Kafka 0.11)",
    SetTopicSettings.API_KEY: "changes of single settings, for `connects topics create --fix` (since Kafka 2.3)",
}
_READ, _WRITE, _DESCRIBE = 3, 4, 8
_RIGHTS: Final = {_READ: "READ", _WRITE: "WRITE", _DESCRIBE: "DESCRIBE"}
_RETENTION: Final = ("cleanup.policy", "retention.ms", "retention.bytes")
_LEAST_RETENTION_MS: Final = 86_400_000
"""A day: what is deleted sooner is lost when nobody works for a night."""


async def kafka_looks(settings: Settings) -> AsyncIterator[Look]:
    """What a worker meets there; one look alone, if it cannot be reached."""
    try:
        async with reached_kafka(settings) as reached:
            servers, protocol = reached.kafka_bootstrap_servers, settings.kafka_security_protocol
            user = f" as {settings.kafka_sasl_username}" if protocol.startswith("SASL_") else ""
            yield ok("kafka", "reached", f"{servers} answers by {protocol}{user}")
            async with probing(reached.kafka_kwargs()) as probe:
                yield await _version(probe)
                async for look in _own_topics(probe, settings.topic_prefix):
                    yield look
                async for look in _rights(probe, settings):
                    yield look
                async for look in _retention(probe, settings.topic_prefix):
                    yield look
                yield await _group(probe, settings)
            lag = await _lag(reached)
            for look in _partitions(lag):
                yield look
    except _FAILURES as error:
        yield wrong("kafka", "reached", error)


async def _version(probe: Probe) -> Look:
    known = await probe.requests_known()
    lacking = [words for key, words in _NEEDED.items() if key not in known]
    if lacking:
        return wrong("kafka", "version", f"the brokers do not know {' and '.join(lacking)}", "Upgrade Kafka")
    fetch = known.get(FetchRequest.API_KEY, 0)
    release = next((name for newest, name in _RELEASES if fetch >= newest), None)
    since = "a Kafka before 2.3" if release is None else f"Kafka {release} or later"
    return ok("kafka", "version", f"{since}, by the requests that a broker knows")


async def _own_topics(probe: Probe, prefix: str) -> AsyncIterator[Look]:
    """Whether the worker's own topics are there, and as they must be. Settings that may not be seen are not told."""
    check = await check_topics(probe, prefix)
    for complaint in check.wrong:
        yield wrong("kafka", "own topics", complaint)
    if check.unseen:
        names = ", ".join(check.unseen)
        yield unknown("kafka", "own topics", f"this user may not see the settings of {names}", "Grant DESCRIBE_CONFIGS")
    if not check.wrong and not check.unseen and check.found:
        yield ok("kafka", "own topics", f"{counted(len(check.found), 'topic has', 'topics have')} the right settings")


async def _rights(probe: Probe, settings: Settings) -> AsyncIterator[Look]:
    """What this user may do with topics, by what the brokers say of it; and with the relay's transactional id."""
    prefix = settings.topic_prefix
    inputs = {prefix + topic: (_READ, _DESCRIBE) for topic in RULES}
    outputs = {prefix + spec.name: (_READ, _WRITE, _DESCRIBE) for spec in output_topic_specs()}
    told = await probe.rights({**inputs, **outputs})
    lacking = [
        f"{_RIGHTS[right]} on {topic}"
        for topic, needed in {**inputs, **outputs}.items()
        for right in needed
        if topic in told and not told[topic] >> right & 1
    ]
    if lacking:
        yield wrong("kafka", "rights", f"this user lacks {_listed(lacking)}", "Grant it")
    elif told:
        yield ok("kafka", "rights", "this user may read the inputs, and read and write the worker's own topics")
    else:
        yield unknown("kafka", "rights", "no topic is seen, or the brokers do not tell what this user may do with it")
    try:
        async with snapshot(settings.database_url) as connection:
            transactional_id = transactional_id_of(prefix, await ledger_id_of(connection))
    except WorkerError:  # what is wrong with the database is a look at PostgreSQL
        return

    async def coordinated() -> bool:
        if not await probe.has_transaction_coordinator(transactional_id):
            raise CoordinatorNotAvailableError
        return True

    try:
        await _patiently(coordinated)
    except TransactionalIdAuthorizationFailed:
        what = f"this user has no right to the transactional id {transactional_id}"
        yield wrong("kafka", "transactions", what, "Grant WRITE and DESCRIBE on it")
        return
    except CoordinatorNotAvailableError:
        yield wrong("kafka", "transactions", "no broker coordinates transactions now", "Bring the brokers back")
    except _AWAY as error:
        yield unknown("kafka", "transactions", f"the coordinator of transactions was not told ({error})")
    else:
        yield ok("kafka", "transactions", "a broker coordinates the transactions of this ledger")


async def _retention(probe: Probe, prefix: str) -> AsyncIterator[Look]:
    """Whether records of the inputs stay long enough to be read after some hours without a worker."""
    found = (await probe.topics(prefix + topic for topic in RULES)).found
    seen = await probe.settings(found, _RETENTION)
    if unseen := sorted(found.keys() - seen.keys()):
        yield unknown(
            "kafka", "retention", f"this user may not see that of {_listed(unseen)}", "Grant DESCRIBE_CONFIGS"
        )
    for topic, values in sorted(seen.items()):
        if "compact" in values.get("cleanup.policy", ""):
            what = (
                f"{topic} has cleanup.policy={values['cleanup.policy']}: records are deleted once another has their key"
            )
            yield wrong("kafka", "retention", what, "Set cleanup.policy=delete")
        elif 0 <= _milliseconds(values) < _LEAST_RETENTION_MS:
            what = f"{topic} keeps records for {lasting(_milliseconds(values) / 1000)} (retention.ms)"
            yield wrong("kafka", "retention", what, "Keep them for a day at least: what is deleted unread is lost")
    kept = [ms for values in seen.values() if (ms := _milliseconds(values)) >= 0]
    if seen and all(ms >= _LEAST_RETENTION_MS for ms in kept):
        shortest = f"for {lasting(min(kept) / 1000)} at least" if kept else "for good"
        limited = sum(int(values.get("retention.bytes", "-1")) >= 0 for values in seen.values())
        by_size = f"; {counted(limited, 'topic is', 'topics are')} also limited in size" if limited else ""
        yield ok("kafka", "retention", f"the inputs keep records {shortest}{by_size}")


def _milliseconds(values: Mapping[str, str]) -> int:
    """For how long a topic keeps records; -1: for good."""
    return int(values.get("retention.ms", "-1")) if "delete" in values.get("cleanup.policy", "delete") else -1


async def _group(probe: Probe, settings: Settings) -> Look:
    """Whether this user may ask for the consumer group, in which a worker shows how far it is."""
    try:
        members = await _patiently(lambda: probe.group_members(settings.kafka_group_id))
    except GroupAuthorizationFailedError:
        what = f"this user has no right to the consumer group {settings.kafka_group_id}, where a worker writes offsets"
        return unknown("kafka", "group", what, "Grant READ and DESCRIBE on it: tools that show lag read it there")
    except _AWAY as error:
        return unknown("kafka", "group", f"the coordinator of {settings.kafka_group_id} does not answer ({error})")
    if members:
        what = f"the consumer group {settings.kafka_group_id} has {counted(members, 'member', 'members')} of others"
        return wrong("kafka", "group", what, NEXT["shared-group"])
    return ok("kafka", "group", f"nobody else is a member of the group {settings.kafka_group_id}")


async def _patiently(ask: Callable[[], Awaitable[_Told]]) -> _Told:
    """Ask again for a moment while there is no coordinator."""
    until = time.monotonic() + _FIRST_SECONDS
    while True:
        try:
            return await ask()
        except _NOT_YET:
            if time.monotonic() >= until:
                raise
            await asyncio.sleep(_POLL_SECONDS)


async def _lag(settings: Settings) -> Lag:
    """What `connects status` measures; where the ledger cannot be read, as for a new one."""
    try:
        async with snapshot(settings.database_url) as connection:
            positions = await stored_positions(connection)
            holds = await stored_holds(connection)
    except WorkerError:  # as above
        positions, holds = {}, {}
    return await measure_lag(settings, positions, holds)


def _partitions(lag: Lag) -> Iterable[Look]:
    """The topics that are not there, and the partitions that are not led or not read."""
    if lag.missing_topics:
        what = f"the input {_listed(lag.missing_topics, 'topic', 'topics')} not exist yet, and a worker waits for them"
        yield unknown("kafka", "inputs", what, "Make them with `connects topics create --inputs`, or let producers")
    else:
        yield ok("kafka", "inputs", f"all {len(RULES)} input topics exist")
    told_before = {*lag.wrong_topics} | {lag.shared_group}
    problems = [one for one in topic_problems(lag, 0) if one.what.rstrip(".") not in told_before]
    for kind, alike in Counter(problem.kind for problem in problems).items():
        first = next(problem.what for problem in problems if problem.kind == kind).rstrip(".")
        more = f"; and {alike - 1} more like this, which `connects status` lists" if alike > 1 else ""
        yield wrong("kafka", kind, f"{first}{more}", NEXT[kind])
    if not problems:
        yield ok("kafka", "partitions", "all partitions are led, and can be read on")


def _listed(names: list[str], one: str = "", several: str = "") -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004
    listed = f"{', '.join(names[:3])}{more}"
    if not one:
        return listed
    return f"{one if len(names) == 1 else several} {listed} {'does' if len(names) == 1 else 'do'}"
