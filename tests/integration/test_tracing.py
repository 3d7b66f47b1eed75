"""A real collector sees a record from its producer to wallet-updated, and a consumer finds the trace in its message."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiokafka import ConsumerRecord

from tests.kit.collector import CONSUMER, INTERNAL, PRODUCER, Collector, Seen, collector, exporting_to
from tests.kit.http import ask, free_port, metric
from tests.kit.invariants import body_of, check_everything, headers_of
from tests.kit.produce import Sent, by_key
from tests.kit.waiting import until_async
from tests.kit.world import PARTITIONS, Events, World

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = (("traceparent", f"00-{TRACE}-{SPAN}-01".encode()), ("tracestate", b"congo=t61rcWkgMzE"))


@pytest.fixture
def send() -> Events:
    return Events()


@pytest.fixture
def seen() -> Iterator[Collector]:
    with collector() as kept:
        yield kept


def registered(send: Events, freelancer_id: str, headers: tuple[tuple[str, bytes | None], ...]) -> Sent:
    return replace(send("freelancer-registered", freelancer_id=freelancer_id), headers=headers)


def trace_of(record: ConsumerRecord) -> tuple[str, str]:
    """The trace and the span that a message names."""
    _, trace, span, flags = headers_of(record)["traceparent"].split("-")
    assert int(flags, 16) & 1, "it is sampled"
    return trace, span


def family(seen: Collector, world: World, trace: str) -> dict[str, Seen]:
    """The spans of a trace by their names, with topics as the contract names them; there is one of each."""
    spans = [span for span in seen.spans if span.trace == trace]
    named = {span.name.replace(world.prefix, ""): span for span in spans}
    assert len(named) == len(spans), spans
    return named


async def test_a_record_is_seen_from_its_producer_to_wallet_updated(
    world: World, send: Events, seen: Collector
) -> None:
    await world.produce([registered(send, "f-1", SENT)], by_key(PARTITIONS))
    await world.connects_run(free_port(), **seen.settings)
    await world.settled()
    message = world.reader.records[0]
    await seen.has(lambda: len(family(seen, world, TRACE)) == 5)

    spans = family(seen, world, TRACE)
    process, decide, commit, sending = (
        spans[name] for name in ("process freelancer-registered", "decide", "commit", "send wallet-updated")
    )
    assert (process.kind, process.parent) == (CONSUMER, SPAN)
    assert (decide.kind, decide.parent, commit.parent) == (INTERNAL, process.id, process.id)
    assert (sending.kind, sending.parent) == (PRODUCER, decide.id)
    assert spans["send membership-updated"].parent == decide.id
    assert process.began <= decide.began <= decide.ended <= commit.ended <= process.ended
    decided = (await world.decisions("kind = 'first'"))[0]
    assert process.attributes["messaging.kafka.offset"] == decided["offset"]
    assert process.attributes["connects.event_id"] == decided["event_id"]
    assert decide.attributes["connects.decision.seq"] == decided["seq"]
    assert decide.attributes["connects.decision.outcome"] == "applied"
    assert decide.attributes["connects.freelancer_id"] == "f-1"
    assert commit.attributes["connects.batch.decisions"] >= 1
    assert process.resource["service.name"] == "connects-worker"

    assert headers_of(message)["traceparent"] == decide.traceparent
    assert headers_of(message)["tracestate"] == "congo=t61rcWkgMzE"
    assert sending.attributes["messaging.message.id"] == body_of(message)["event_id"]


async def test_what_the_clock_settles_has_a_trace_with_a_link_to_the_closing(
    world: World, send: Events, seen: Collector
) -> None:
    of_job = {"job_id": "j-1", "proposal_id": "p-1"}
    await world.produce(
        [
            registered(send, "f-1", ()),
            send("proposal-submitted", freelancer_id="f-1", **of_job, connects=12, origin="proposal"),
            replace(send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client"), headers=SENT),
        ],
        by_key(PARTITIONS),
    )
    await world.connects_run(free_port(), **seen.settings)
    await world.settled()
    refund = next(record for record in world.reader.records if body_of(record)["version"] == 3)
    trace, span = trace_of(refund)
    await seen.has(lambda: {"settle", "decide", "commit", "send wallet-updated"} == family(seen, world, trace).keys())

    closing, settled = family(seen, world, TRACE), family(seen, world, trace)
    assert (settled["settle"].parent, settled["settle"].links) == ("", [(TRACE, closing["decide"].id)])
    assert (settled["decide"].id, settled["decide"].parent) == (span, settled["settle"].id)
    assert settled["decide"].attributes["connects.proposal_id"] == "p-1"
    traces = {trace_of(record)[0] for record in world.reader.records}
    assert len(traces) == 3, "each message is of the trace of its own record, or of the clock's"
    await check_everything(world)
    verified = await world.asking()("verify --against topics --json")
    assert verified.code == 0, verified


async def test_a_message_keeps_its_trace_when_another_worker_publishes_it(
    world: World, send: Events, seen: Collector
) -> None:
    dying = await world.worker(settings=seen.settings, kill_at="before-kafka-transaction:1")
    await world.leads(dying)
    await world.produce([registered(send, "f-1", SENT)], by_key(PARTITIONS))
    await dying.died_at("before-kafka-transaction")
    assert await world.value("SELECT count(*) FROM outbox") == 1
    await world.end_lease_of(dying)

    await world.worker(settings=seen.settings)
    await world.settled()
    trace, span = trace_of(world.reader.records[0])
    assert trace == TRACE
    outputs = {"wallet-updated", "membership-updated"}  # what the first worker saw it may not have exported
    await seen.has(lambda: family(seen, world, TRACE).keys() >= {f"send {output}" for output in outputs})
    sent = [sending for name, sending in family(seen, world, TRACE).items() if name.startswith("send ")]
    assert [sending.parent for sending in sent] == [span, span]
    await check_everything(world)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("traceparent", None),),
        (("traceparent", b"00-\xff\xfe"),),
        (("traceparent", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"),),
        (*SENT, SENT[0]),
    ],
    ids=["none", "null", "no text", "no trace", "two"],
)
async def test_a_header_that_is_not_valid_decides_nothing_and_the_trace_begins_here(
    world: World, send: Events, seen: Collector, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    await world.produce([registered(send, "f-1", headers)], by_key(PARTITIONS))
    await world.connects_run(free_port(), **seen.settings)
    await world.settled()
    trace, _ = trace_of(world.reader.records[0])
    assert trace != TRACE
    await seen.has(lambda: "process freelancer-registered" in family(seen, world, trace))
    assert family(seen, world, trace)["process freelancer-registered"].parent == ""


async def test_while_a_collector_is_away_the_worker_goes_on_and_says_so_once(world: World, send: Events) -> None:
    messages = [registered(send, f"f-{number}", SENT) for number in range(300)]
    port, nobody = free_port(), free_port()
    narrow = {"OTEL_BSP_MAX_QUEUE_SIZE": "20", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20"}
    worker = await world.connects_run(port, **{**exporting_to(nobody), **narrow, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"})
    await world.produce(messages, by_key(PARTITIONS))
    await world.settled()

    async def dropped() -> bool:
        return metric((await ask(port, "/metrics"))[1], "connects_spans_dropped_total") > 20 and worker.said(
            "tracing.not_exported"
        )

    await until_async(dropped)
    assert (await ask(port, "/health/ready"))[0] == 200
    worker.terminate()
    assert await worker.ended() == 0
    said = [json.loads(line) for line in worker.log.read_text().splitlines() if '"tracing.' in line]
    assert sorted(line["event"] for line in said) == ["tracing.not_exported", "tracing.queue_full"]
    assert all(line["endpoint"] == f"http://127.0.0.1:{nobody}" for line in said if "endpoint" in line)
    assert not worker.said("Traceback")
    await check_everything(world)


async def test_without_tracing_no_message_has_a_trace(world: World, send: Events, seen: Collector) -> None:
    off = {name: value for name, value in seen.settings.items() if name != "CONNECTS_TRACING"}
    await world.produce([registered(send, "f-1", SENT)], by_key(PARTITIONS))
    await world.connects_run(free_port(), **off)
    await world.settled()
    assert not {"traceparent", "tracestate"} & headers_of(world.reader.records[0]).keys()
    assert seen.spans == []
