"""The contract's table of bad input, row by row: what each gets, and that its neighbours do not notice."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from tests.kit.administering import administering
from tests.kit.histories import NOT_EVENTS, History
from tests.kit.http import ask, free_port, metric
from tests.kit.invariants import body_of, check_everything, headers_of
from tests.kit.produce import Sent, by_key, produce_with_a_header_key_that_is_no_text
from tests.kit.reading import everything
from tests.kit.stacks import template_of
from tests.kit.waiting import until_async
from tests.kit.world import PARTITIONS, Events, World, a_world, copy_of
from worker.embedded.stack import LocalStack

TOO_LARGE = 256 * 1024 + 1
TOPIC = "badge-earned"
WHOLE = {"event_id": "e", "occurred_at": "2026-02-01T12:00:00Z", "freelancer_id": "f-x", "badge": "rising-talent"}


def spoiled(**changes: object) -> bytes:
    """A badge with some fields changed; one set to `...` is left out."""
    return json.dumps({name: value for name, value in {**WHOLE, **changes}.items() if value is not ...}).encode()


INVALID: dict[str, tuple[bytes | None, str | None]] = {
    "not JSON": (b"{", None),
    "not UTF-8": (b"\xff\xfe\x00", None),
    "empty": (b"", None),
    "a tombstone": (None, None),
    "too large": (spoiled(more="x" * TOO_LARGE), None),
    "much too large": (spoiled(more="x" * 900_000), None),
    "not an object": (b"[1, 2]", None),
    "deeply nested": (b"[" * 20_000, None),
    "a field more of 100000 levels": (spoiled()[:-1] + b', "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    "a field missing": (spoiled(badge=...), "badge"),
    "no event id": (spoiled(event_id=...), "event_id"),
    "a field of the wrong type": (spoiled(freelancer_id=5), "freelancer_id"),
    "a time without an offset": (spoiled(occurred_at="2026-02-01T12:00:00"), "occurred_at"),
    "an id of odd characters": (spoiled(freelancer_id="f 1"), "freelancer_id"),
    "an id that is too long": (spoiled(event_id="x" * 65), "event_id"),
}
ODD_HEADERS: dict[str, tuple[tuple[str, bytes | None], ...]] = {
    "a null header": (("trace", None),),
    "a header that is not UTF-8": (("trace", b"\xff\xfe"),),
    "hundreds of headers": tuple((f"h-{number}", b"x") for number in range(500)),
    "the same header again and again": (("a", b"1"),) * 100,
}
ODD_FIELDS: dict[str, bytes] = {
    "a field more with half a pair": rb'"\ud800"',
    "a field more with a NUL": rb'{"\u0000": "\u0000"}',
    "a field more with a long number": b"9" * 5_000,
    "a field more of 400 levels": b"[" * 400 + b"]" * 400,
}


@dataclass
class Outcome:
    """The outcome of everything that was sent."""

    places: dict[str, int]
    decisions: dict[int, dict[str, Any]]
    letters: dict[int, ConsumerRecord]
    sent: dict[str, Sent]
    balances: dict[str, int]
    last_batches: set[int]


def neighbours(name: str) -> list[str]:
    spelled = name.replace(" ", "-").replace(",", "")
    return [f"f-before-{spelled}", f"f-after-{spelled}"]


def table() -> dict[str, Sent]:
    """Everything bad, in one partition of one topic, each between two neighbours; by name."""
    ahead = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    bad = {name: Sent(TOPIC, value, b"k", (("trace", b"\xff"),), 0) for name, (value, _) in INVALID.items()}
    bad |= {
        name: Sent(TOPIC, spoiled(event_id=f"e-{place}", freelancer_id=f"f-odd-{place}"), None, headers, 0)
        for place, (name, headers) in enumerate(ODD_HEADERS.items())
    }
    bad["too far ahead"] = Sent(
        TOPIC, spoiled(event_id="e-ahead", freelancer_id="f-ahead", occurred_at=ahead), b"k", (), 0
    )
    bad["too long ago"] = Sent(
        TOPIC,
        spoiled(event_id="e-ago", freelancer_id="f-ago", occurred_at="1999-12-31T23:59:59.999999Z"),
        b"k",
        (),
        0,
    )
    bad["the zero of a language"] = Sent(
        TOPIC, spoiled(event_id="e-zero", occurred_at="0001-01-01T00:00:00Z"), b"k", (), 0
    )
    bad["the same id, since then"] = Sent(
        TOPIC, spoiled(event_id="e-ago", freelancer_id="f-ago", occurred_at="2000-01-01T00:00:00Z"), b"k", (), 0
    )
    for name, raw in ODD_FIELDS.items():
        value = spoiled(event_id=f"e-{name}".replace(" ", "-"), freelancer_id="f-odd-field", badge=f"b-{len(bad)}")
        bad[name] = Sent(TOPIC, value[:-1] + b', "more": ' + raw + b"}", b"k", (), 0)
    bad["the same id, in time"] = Sent(TOPIC, spoiled(event_id="e-ahead", freelancer_id="f-ahead"), b"k", (), 0)
    bad["an id not used up"] = Sent(TOPIC, spoiled(event_id="e-spoiled", badge=...), b"k", (), 0)
    bad["the same id, whole"] = Sent(TOPIC, spoiled(event_id="e-spoiled", freelancer_id="f-whole"), b"k", (), 0)
    bad["known"] = Sent(TOPIC, spoiled(event_id="e-known", freelancer_id="f-known"), b"k", (), 0)
    bad["known, other payload"] = Sent(TOPIC, spoiled(event_id="e-known", freelancer_id="f-other"), b"k2", (), 0)
    bad["known, a field more"] = Sent(TOPIC, spoiled(event_id="e-known", freelancer_id="f-known", more=1), b"k2", (), 0)
    reordered = json.dumps(dict(reversed(json.loads(bad["known"].value or b"{}").items())), indent=3).encode()
    bad["known, written otherwise"] = Sent(TOPIC, reordered, b"k3", (("h", b"1"),), 0)
    shown: dict[str, Sent] = {}
    for name, message in bad.items():
        before, after = neighbours(name)
        shown[before] = Sent(TOPIC, spoiled(event_id=f"{before}"[:64], freelancer_id=before), b"k", (), 0)
        shown[name] = message
        shown[after] = Sent(TOPIC, spoiled(event_id=f"{after}"[:64], freelancer_id=after), b"k", (), 0)
    return shown


async def play(world: World) -> Outcome:
    sent = table()
    await world.produce(sent.values())
    no_text = Sent(TOPIC, spoiled(event_id="e-no-text", freelancer_id="f-no-text"), b"k")
    await produce_with_a_header_key_that_is_no_text(world.kafka, world.prefix, no_text, 0)
    world.produced[TOPIC, 0] += 1
    last = Sent(TOPIC, spoiled(event_id="e-last", freelancer_id="f-last"), b"k", (), 0)
    await world.produce([last])
    names = [*sent, "a header key that is no text", "the last"]
    await world.worker(batch_size=5_000)
    await world.settled()

    async def letters_sent() -> bool:
        return await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NULL") == 0

    await until_async(letters_sent)
    letters = (await everything(world.kafka, f"{world.prefix}connects-dead-letters", PARTITIONS)).letters
    decisions = await world.decisions("kind = 'first'")
    await check_everything(world, model=False)
    return Outcome(
        places={name: place for place, name in enumerate(names)},
        decisions={row["offset"]: row for row in decisions},
        letters={int(dict(letter.headers)["x-original-offset"]): letter for letter in letters},
        sent={**sent, "a header key that is no text": no_text},
        balances={row["freelancer_id"]: row["balance"] for row in await world.rows("SELECT * FROM wallets")},
        last_batches={row["batch_no"] for row in decisions},
    )


@pytest.fixture(scope="module")
def outcome(shared_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Everything bad was sent, with its neighbours, and decided."""

    async def scenario() -> Outcome:
        prefix = f"t{uuid.uuid4().hex[:10]}-"
        folder, template = tmp_path_factory.mktemp("w"), await template_of(shared_stack)
        async with copy_of(shared_stack, template) as url, a_world(shared_stack, folder, url, prefix) as world:
            return await play(world)

    return asyncio.run(scenario())


@pytest.fixture
def decision(outcome: Outcome) -> Callable[[str], dict[str, Any]]:
    return lambda name: outcome.decisions[outcome.places[name]]


def the_letter(outcome: Outcome, name: str, code: str) -> dict[str, str]:
    """The letter about a message, with the original untouched; its `x-` headers."""
    place = outcome.places[name]
    letter, sent = outcome.letters[place], outcome.sent[name]
    assert letter.value == sent.value
    assert letter.key == sent.key
    assert tuple(letter.headers[: len(sent.headers)]) == tuple(sent.headers)
    shown = {key: value.decode() for key, value in letter.headers if key.startswith("x-")}
    assert shown["x-original-topic"].endswith(f"-{TOPIC}")
    assert shown["x-original-partition"] == "0"
    assert shown["x-original-offset"] == str(place)
    assert 0 < int(shown["x-original-timestamp"]) <= datetime.now(UTC).timestamp() * 1_000
    assert shown["x-error-code"] == code
    assert shown["x-error-detail"]
    assert shown["x-attempts"] == "1"
    return shown


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_event_is_rejected_with_a_letter_that_names_the_field(
    outcome: Outcome, decision: Callable[[str], dict[str, Any]], name: str
) -> None:
    field = INVALID[name][1]
    row = decision(name)
    assert (row["outcome"], row["reason"]) == ("rejected", "invalid-event")
    assert row["facts"]["field"] == field
    shown = the_letter(outcome, name, "invalid-event")
    if field is not None:
        assert field in shown["x-error-detail"]


@pytest.mark.parametrize("name", ODD_FIELDS)
def test_a_field_that_is_not_ours_decides_nothing_and_is_kept_as_it_came(
    outcome: Outcome, decision: Callable[[str], dict[str, Any]], name: str
) -> None:
    row = decision(name)
    assert (row["outcome"], row["reason"]) == ("declined", "no-award-for-badge")
    assert row["payload"] == outcome.sent[name].value
    assert outcome.places[name] not in outcome.letters


@pytest.mark.parametrize("name", ODD_HEADERS)
def test_odd_headers_are_no_matter(outcome: Outcome, decision: Callable[[str], dict[str, Any]], name: str) -> None:
    row = decision(name)
    assert (row["outcome"], row["reason"]) == ("applied", "badge-earned")
    assert outcome.places[name] not in outcome.letters
    assert outcome.balances[row["freelancer_id"]] == 30


def test_a_header_key_that_is_no_text_makes_a_record_unreadable_and_the_partition_goes_on(
    outcome: Outcome, decision: Callable[[str], dict[str, Any]]
) -> None:
    row = decision("a header key that is no text")
    assert (row["outcome"], row["reason"]) == ("rejected", "unreadable-record")
    letter = outcome.letters[outcome.places["a header key that is no text"]]
    assert dict(letter.headers)["x-error-code"] == b"unreadable-record"
    assert letter.value == outcome.sent["a header key that is no text"].value
    assert "f-no-text" not in outcome.balances
    assert decision("the last")["outcome"] == "applied"


def test_a_time_too_far_ahead_is_rejected_and_its_id_is_not_used_up(
    outcome: Outcome, decision: Callable[[str], dict[str, Any]]
) -> None:
    row = decision("too far ahead")
    assert (row["outcome"], row["reason"]) == ("rejected", "occurred-in-the-future")
    the_letter(outcome, "too far ahead", "occurred-in-the-future")
    assert decision("the same id, in time")["outcome"] == "applied"
    assert outcome.balances["f-ahead"] == 30


@pytest.mark.parametrize("name", ["too long ago", "the zero of a language"])
def test_a_time_too_long_ago_is_rejected_and_its_id_is_not_used_up(
    outcome: Outcome, decision: Callable[[str], dict[str, Any]], name: str
) -> None:
    row = decision(name)
    assert (row["outcome"], row["reason"]) == ("rejected", "occurred-too-long-ago")
    assert row["facts"]["field"] == "occurred_at"
    shown = the_letter(outcome, name, "occurred-too-long-ago")
    assert "CONNECTS_EARLIEST_EVENT" in shown["x-error-detail"]
    assert decision("the same id, since then")["outcome"] == "applied"
    assert outcome.balances["f-ago"] == 0, "what was granted in 2000 has expired"


def test_what_is_no_event_does_not_use_up_its_id(outcome: Outcome, decision: Callable[[str], dict[str, Any]]) -> None:
    assert decision("an id not used up")["outcome"] == "rejected"
    assert decision("the same id, whole")["outcome"] == "applied"
    assert outcome.balances["f-whole"] == 30


@pytest.mark.parametrize("name", ["known, other payload", "known, a field more"])
def test_a_known_id_with_another_payload_changes_nothing(
    outcome: Outcome, decision: Callable[[str], dict[str, Any]], name: str
) -> None:
    """I11."""
    row = decision(name)
    assert (row["outcome"], row["reason"]) == ("rejected", "event-id-conflict")
    shown = the_letter(outcome, name, "event-id-conflict")
    assert str(outcome.places["known"]) in shown["x-error-detail"]
    assert outcome.balances["f-known"] == 30
    assert "f-other" not in outcome.balances


def test_the_same_content_written_otherwise_is_a_duplicate(
    outcome: Outcome, decision: Callable[[str], dict[str, Any]]
) -> None:
    """Canonical JSON is compared; key and headers do not count."""
    assert decision("known, written otherwise")["outcome"] == "duplicate"
    assert outcome.places["known, written otherwise"] not in outcome.letters


def test_no_neighbour_of_anything_bad_noticed_it(outcome: Outcome, decision: Callable[[str], dict[str, Any]]) -> None:
    bad = [name for name in outcome.sent if not name.startswith(("f-before-", "f-after-")) and name in table()]
    for name in bad:
        for neighbour in neighbours(name):
            assert decision(neighbour)["outcome"] == "applied", f"{neighbour} of {name}"
            assert outcome.balances[neighbour] == 30


def test_every_record_has_its_decision_and_only_rejected_ones_a_letter(outcome: Outcome) -> None:
    assert sorted(outcome.decisions) == list(range(len(outcome.places)))
    rejected = {offset for offset, row in outcome.decisions.items() if row["outcome"] == "rejected"}
    assert set(outcome.letters) == rejected


async def accepted(world: World, message: Sent) -> None:
    """Produce it as soon as the broker knows that its topic takes larger messages."""

    async def produced() -> bool:
        try:
            await world.produce([message])
        except MessageSizeTooLargeError:
            return False
        return True

    await until_async(produced)


async def test_a_letter_too_large_for_its_topic_leaves_its_value_in_the_ledger(world: World) -> None:
    """An input topic that takes 6 MiB messages: the letter says that the value stayed behind."""
    topic = f"{world.prefix}{TOPIC}"
    async with administering(world.kafka) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(8 * 1024 * 1024)})
        await admin.alter_configs([resource])
    value = spoiled(more="x" * 5_000_000)
    await accepted(world, Sent(TOPIC, value, b"k", (), 0))
    await world.produce([Sent(TOPIC, spoiled(), b"k", (), 0)])
    await world.worker()
    await world.settled()

    async def letter_sent() -> bool:
        return await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NOT NULL") == 1

    await until_async(letter_sent)
    (letter,) = (await everything(world.kafka, f"{world.prefix}connects-dead-letters", PARTITIONS)).letters
    assert letter.value is None
    assert headers_of(letter)["x-truncated"] == "value"
    assert await world.value("SELECT value FROM dead_letters") == value
    assert await world.balance("f-x") == 30


async def test_what_refers_to_something_unknown_yet_counts_when_it_arrives(world: World) -> None:
    """An outbid, a withdrawal and a hire before their proposal; and a freelancer nobody registered."""
    send = Events()
    about = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
    send("boost-outbid", **about)
    send("proposal-withdrawn", freelancer_id="f-2", job_id="j-1", proposal_id="p-2")
    send("proposal-submitted", **about, connects=6, boost_connects=5, origin="proposal")
    send("proposal-submitted", freelancer_id="f-2", job_id="j-1", proposal_id="p-2", connects=6, origin="proposal")
    send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")
    await world.produce(send.messages)
    await world.worker()
    await world.settled()

    (outbid,) = await world.decisions("topic = 'boost-outbid' AND kind = 'first'")
    assert (outbid["outcome"], outbid["reason"]) == ("recorded", "unknown-proposal")
    (follow_up,) = await world.decisions("kind = 'follow-up'")
    assert follow_up["follows"] == outbid["seq"]
    assert (follow_up["outcome"], follow_up["reason"]) == ("applied", "boost-outbid")
    settled = {row["proposal_id"]: row["reason"] for row in await world.decisions("kind = 'settlement'")}
    assert settled == {"p-1": "closed-without-hire", "p-2": "proposal-withdrawn"}
    assert await world.balance("f-1") == 0
    assert await world.balance("f-2") == -6
    first = next(body_of(record) for record in world.reader.records if record.key == b"f-1")
    assert (first["version"], first["balance_before"]) == (1, 0), "the wallet of somebody unknown opens at 0"
    await check_everything(world)


async def test_nothing_but_poison_is_all_rejected_and_then_work_goes_on(world: World) -> None:
    """F18: 100 % poison, far more than a batch."""
    await world.worker()
    values = [*NOT_EVENTS, *(value for value, _ in INVALID.values() if len(value or b"") < 1_000)]
    poison = [Sent("proposal-submitted", values[place % len(values)], b"k") for place in range(3_000)]
    await world.produce(poison)
    await world.settled()
    assert await world.value("SELECT count(*) FROM decisions WHERE outcome = 'rejected'") == len(poison)

    await world.produce([Sent(TOPIC, spoiled())])
    await world.settled()
    assert await world.balance("f-x") == 30

    async def letters_sent() -> bool:
        return await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NOT NULL") == len(poison)

    await until_async(letters_sent)
    await check_everything(world)


async def test_duplicates_and_disorder_within_and_across_topics_change_nothing(world: World) -> None:
    """F17, I8: any slice again, in any order, to other partitions."""
    world.grace_seconds = 30
    history = History(seed=17, freelancers=15, jobs=25, events=400)
    await world.produce(history, by_key(PARTITIONS))
    await world.worker()
    await world.settled()
    changes = await world.value("SELECT count(*) FROM changes")
    decided = await world.value("SELECT max(last_seq) FROM batches")

    for again in (history[100:300], list(reversed(history[:150])), history[::3]):
        await world.produce(again)
    await world.settled()
    later = await world.decisions("seq > $1", decided)
    assert {row["outcome"] for row in later} == {"duplicate"}, repr(history)
    assert await world.value("SELECT count(*) FROM changes") == changes
    assert len(world.reader.records) == changes
    await check_everything(world)


async def test_operators_are_alarmed_by_an_id_with_two_payloads_and_by_nothing_less(world: World) -> None:
    """I11, as `connects run` shows it."""
    port = free_port()
    await world.connects_run(port)
    first = Sent(TOPIC, spoiled(event_id="e-1", freelancer_id="f-1"), b"k", (), 0)
    await world.produce([first, first, Sent(TOPIC, b"{", b"k", (), 0)])
    await world.settled()
    assert metric((await ask(port, "/metrics"))[1], "connects_event_id_conflicts_total") == 0

    await world.produce([Sent(TOPIC, spoiled(event_id="e-1", freelancer_id="f-2"), b"k", (), 0)])
    await world.settled()
    _, shown = await ask(port, "/metrics")
    assert metric(shown, "connects_event_id_conflicts_total") == 1
    assert metric(shown, "connects_dead_letters_total") == 2
    status, ready = await ask(port, "/health/ready")
    assert status == HTTPStatus.OK, "bad input is no reason to be unwell"
    assert "active" in ready


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    file = tmp_path / "bug"
    file.touch()
    return file


async def test_a_failure_inside_a_rule_parks_that_wallet_alone(world: World, a_file: Path) -> None:
    """The last row of the table that is about events; test_parking.py has the rest."""
    send = Events()
    send("freelancer-registered", freelancer_id="f-bug")
    send("freelancer-registered", freelancer_id="f-1")
    await world.produce(send.messages)
    await world.worker(bug_while=str(a_file))
    await world.settled()
    outcomes = {row["freelancer_id"]: (row["outcome"], row["reason"]) for row in await world.decisions()}
    assert outcomes == {"f-bug": ("parked", "failure-in-rule"), "f-1": ("applied", "registered")}
    assert not (await everything(world.kafka, f"{world.prefix}connects-dead-letters", PARTITIONS)).records
