"""The topics of the contract as a cluster should have them: what `connects topics create` makes and repairs."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from schemas.catalogue import INPUT_TOPICS, OUTPUT_TOPICS
from worker.errors import OperatorNeeded
from worker.futures import end_in_time
from worker.kafka.broker import Probe, TopicLook, probing
from worker.kafka.guards import guard_clients
from worker.kafka.output.marker import MARKER_TOPIC, partitions_in_use

DEAD_LETTER_TOPIC: Final = "connects-dead-letters"
LETTER_BYTES: Final = 4 * 1024 * 1024
LETTER_SLACK_BYTES: Final = 64 * 1024
"""For a letter's own headers and the batch around it."""
OUTPUT_BYTES: Final = 16 * 1024 * 1024
"""A change lists each lot that it touched, in about 100 bytes: of 20,000 lots in 2 MB."""

_POLICY: Final = "cleanup.policy"
_MOST_BYTES: Final = "max.message.bytes"
_REQUEST_TIMEOUT_MS: Final = 10_000
_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 2.0
_SPREAD_SECONDS: Final = 10.0
"""How long a topic, or a change of its settings, may take to reach the broker that is asked next."""
_POLL_SECONDS: Final = 0.1
_CLUSTERS_DEFAULT: Final = -1


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic, by the contract's name, and its settings where the broker's defaults do not do."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WrongTopic:
    """A topic of the worker's own that is not as it must be; `repair` are the settings that make it right.

    `is_fatal`: sooner or later the worker could not go on, or consumers would miss messages.
    """

    topic: str
    what: str
    repair: Mapping[str, str]
    is_fatal: bool

    def __str__(self) -> str:
        return f"{self.topic} {self.what}. `connects topics create --fix` repairs it"


@dataclass(frozen=True, slots=True)
class TopicCheck:
    """What is wrong with those of the worker's own topics that were `found`; of which may this user see no settings.

    With prefix.
    """

    found: frozenset[str]
    wrong: tuple[WrongTopic, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreatedTopics:
    """What was made and what was there, with prefix; of the latter, what was repaired and what is wrong."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    repaired: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def output_topic_specs() -> tuple[TopicSpec, ...]:
    """The topics that the worker writes."""
    return (
        *(TopicSpec(name, {_POLICY: "delete", _MOST_BYTES: str(OUTPUT_BYTES)}) for name in OUTPUT_TOPICS),
        TopicSpec(DEAD_LETTER_TOPIC, {_POLICY: "delete", _MOST_BYTES: str(LETTER_BYTES + LETTER_SLACK_BYTES)}),
        # Only the last marker of a ledger counts: small segments, so that the others can be compacted away.
        TopicSpec(MARKER_TOPIC, {_POLICY: "compact", "segment.bytes": str(16 * 1024 * 1024), "segment.ms": "3600000"}),
    )


def input_topic_specs() -> tuple[TopicSpec, ...]:
    """The topics that the worker reads."""
    return tuple(TopicSpec(name) for name in INPUT_TOPICS)


async def check_topics(probe: Probe, prefix: str) -> TopicCheck:
    """Compare the settings of the worker's own topics with what they must be. Topics that do not exist are left out.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away.
    """
    specs = {prefix + spec.name: spec for spec in output_topic_specs()}
    found = (await probe.topics(specs)).found
    seen = await probe.settings(found, (_POLICY, _MOST_BYTES))
    wrong = [complaint for topic in found for complaint in _complaints(topic, specs[topic], seen.get(topic, {}))]
    return TopicCheck(frozenset(found), tuple(wrong), tuple(sorted(found.keys() - seen.keys())))


async def create_topics(
    kafka: Mapping[str, Any],
    prefix: str,
    partitions: int,
    replication: int | None,
    *,
    inputs: bool,
    fix: bool = False,
) -> CreatedTopics:
    """Make the output topics, and with `inputs` the input topics, unless they exist.

    Those that exist are left as they are, or, with `fix`, repaired. `replication` None: the cluster's default.

    Raises:
        OperatorNeeded: the broker refused something.
        KafkaError, OSError, TimeoutError: the broker is away.
    """
    specs = (*output_topic_specs(), *(input_topic_specs() if inputs else ()))
    wanted = [
        NewTopic(prefix + spec.name, partitions, replication or 1, topic_configs=dict(spec.settings)) for spec in specs
    ]
    if replication is None:
        for topic in wanted:
            topic.replication_factor = _CLUSTERS_DEFAULT  # its constructor refuses what the protocol allows
    repaired: list[str] = []
    async with _administering(kafka) as admin:
        answer = await admin.create_topics(wanted)
        created, existing = _made(answer.topic_errors, told_copies=replication is not None)
        if fix and existing:
            repaired = [*await _repair(kafka, prefix, existing), *await _add_partitions(admin, kafka, prefix, existing)]
    async with probing(kafka) as probe:
        left = await _wrong_of(probe, prefix, existing, repaired)
    return CreatedTopics(created, existing, tuple(repaired), tuple(map(str, left)))


def fewer_partitions(found: Mapping[str, TopicLook], prefix: str, in_use: Mapping[str, int]) -> list[str]:
    """Those of the topics with fewer partitions than the markers say that keys are spread over, in words."""
    return [
        f"{prefix + name} has {len(look.leaders)} partitions and had {count}: it was recreated with fewer. "
        "`connects topics create --fix` adds them"
        for name, count in sorted(in_use.items())
        if (look := found.get(prefix + name)) is not None and len(look.leaders) < count
    ]


def _complaints(topic: str, spec: TopicSpec, seen: Mapping[str, str]) -> list[WrongTopic]:
    complaints = []
    policy, wanted = seen.get(_POLICY), spec.settings[_POLICY]
    if policy is not None and policy != wanted:
        why = (
            "what it holds would be deleted some day, and then no worker could start"
            if spec.name == MARKER_TOPIC
            else "its consumers would miss messages, or it would refuse those without a key"
        )
        what = f"has {_POLICY}={policy} and must have {_POLICY}={wanted}: {why}"
        complaints.append(WrongTopic(topic, what, {_POLICY: wanted}, is_fatal=True))
    most, needed = seen.get(_MOST_BYTES), spec.settings.get(_MOST_BYTES)
    if most is not None and needed is not None and int(most) < int(needed):
        what = f"has {_MOST_BYTES}={most} and should have {needed}: a larger message would hold up all that follow it"
        complaints.append(WrongTopic(topic, what, {_MOST_BYTES: needed}, is_fatal=False))
    return complaints


def _made(errors: Collection[tuple[Any, ...]], *, told_copies: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    created, existing = [], []
    for topic, code, *rest in errors:
        error: type[KafkaError] = for_code(code)
        if error is NoError:
            created.append(topic)
        elif error is TopicAlreadyExistsError:
            existing.append(topic)
        else:
            why = (rest[0] if rest else None) or error.description
            hint = "" if told_copies or "replica" not in why.lower() else ". Give the number of copies: --replication N"
            raise OperatorNeeded(f"the broker did not create topic {topic}: {why}{hint}")
    return tuple(created), tuple(existing)


async def _repair(kafka: Mapping[str, Any], prefix: str, existing: Collection[str]) -> list[str]:
    """Set what is wrong; what was done, in words."""
    async with probing(kafka) as probe:
        wrong = await _wrong_of(probe, prefix, existing)
        settings: dict[str, dict[str, str]] = {}
        for complaint in wrong:
            settings.setdefault(complaint.topic, {}).update(complaint.repair)
        refused = await probe.set_settings(settings) if settings else {}
    for topic, why in refused.items():
        raise OperatorNeeded(f"the broker did not change topic {topic}: {why}")
    return [f"{topic}: {name}={value}" for topic, changed in settings.items() for name, value in changed.items()]


async def _wrong_of(
    probe: Probe, prefix: str, existing: Collection[str], repaired: Collection[str] = ()
) -> tuple[WrongTopic, ...]:
    """What is wrong: a broker describes a topic, and a repair, only once it has heard of it from the controller."""
    own = {prefix + spec.name for spec in output_topic_specs()} & set(existing)
    deadline = time.monotonic() + _SPREAD_SECONDS
    while True:
        check = await check_topics(probe, prefix)
        is_known = own <= check.found and not (check.wrong and repaired)
        if is_known or time.monotonic() >= deadline:
            return check.wrong
        await asyncio.sleep(_POLL_SECONDS)


async def _add_partitions(
    admin: AIOKafkaAdminClient, kafka: Mapping[str, Any], prefix: str, existing: Collection[str]
) -> list[str]:
    """Give outputs that were recreated with fewer partitions those back that keys are spread over."""
    if prefix + MARKER_TOPIC not in existing:
        return []
    in_use = await partitions_in_use(kafka, prefix + MARKER_TOPIC)
    done = []
    for topic in await admin.describe_topics([prefix + name for name in in_use]):
        count = in_use[topic["topic"].removeprefix(prefix)]
        if 0 < len(topic["partitions"]) < count:
            await admin.create_partitions({topic["topic"]: NewPartitions(count)})
            done.append(f"{topic['topic']}: {count} partitions")
    return done


@asynccontextmanager
async def _administering(kafka: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for changes, all of which end in time."""
    guard_clients()
    admin = AIOKafkaAdminClient(**{"request_timeout_ms": _REQUEST_TIMEOUT_MS, **kafka})
    async with asyncio.timeout(_SECONDS):
        try:
            await admin.start()
            yield admin
        finally:
            await end_in_time(admin.close(), _CLOSE_SECONDS)
