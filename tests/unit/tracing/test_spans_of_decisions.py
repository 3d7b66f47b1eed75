"""Which spans are exported: one family for each trigger that is in the ledger, and none of what was thrown away."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from tests.kit.deciding import GRACE, SKEW, WALL_CLOCK, as_read
from tests.kit.killable import POLICY_FILE, the_policies
from tests.kit.produce import Sent
from tests.kit.world import Events
from worker.engine import decide_loop
from worker.engine.commit import Commits
from worker.engine.writer import Writer
from worker.kafka.output.messages import Message, TracedMessage, pack, unpack, unpack_traced
from worker.kafka.records import InputRecord
from worker.ledger.memory_store import MemoryStore
from worker.tracing.committing import TracedCommits
from worker.tracing.spans import DecisionSpans

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = (("traceparent", f"00-{TRACE}-{SPAN}-01".encode()),)


class Traced:
    """A writer in memory; `spans` are those that were exported."""

    def __init__(self, commits: Any = None, *, store: MemoryStore | None = None) -> None:  # noqa: ANN401
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        spans = DecisionSpans(provider.get_tracer("test"), "p-", "workers")
        self.store = store or MemoryStore()
        self.writer = Writer(
            *(self.store, self.store.lead(), the_policies({"CONNECTS_POLICY": str(POLICY_FILE)}), GRACE, SKEW),
            *(lambda: WALL_CLOCK, lambda _: None, 100),
            new_commits=commits or partial(TracedCommits, spans=spans),
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    async def decide(self, records: list[InputRecord]) -> None:
        await self.writer.open()
        for policy in self.writer.policies.versions:
            self.writer.add_policy(policy)
        await self.writer.decide(records)
        await self.commit()

    async def commit(self) -> None:
        await self.writer.flush()
        await self.writer.settle_down()

    async def messages(self) -> list[TracedMessage]:
        rows = await self.store.outbox_rows(0, 10_000_000)
        return [message for row in rows for message in unpack_traced(row.messages)]


def records_of(messages: list[Sent], headers: dict[int, Any]) -> list[InputRecord]:
    records = as_read(
        {
            "topic": sent.topic,
            "partition": 0,
            "offset": place,
            "payload": sent.value,
            "business_time": occurred_at(sent),
        }
        for place, sent in enumerate(messages)
    )
    for place, record in enumerate(records):
        record.headers = headers.get(place, ())
        record.event_key = ""
    return records


def occurred_at(sent: Sent) -> datetime:
    return datetime.fromisoformat(json.loads(sent.value or b"")["occurred_at"])


def closed_job(send: Events) -> list[Sent]:
    send("freelancer-registered", freelancer_id="f-1")
    send("proposal-submitted", freelancer_id="f-1", job_id="j-1", proposal_id="p-1", connects=12, origin="proposal")
    send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")
    return send.messages


def names(spans: list[ReadableSpan], trace: str | None = None) -> list[str]:
    return sorted(span.name for span in spans if trace is None or f"{span.context.trace_id:032x}" == trace)


async def test_each_message_has_the_span_of_its_own_decision() -> None:
    traced = Traced()
    await traced.decide(records_of(closed_job(Events()), {0: HEADERS}))
    assert names(traced.spans, TRACE) == ["commit", "decide", "process p-freelancer-registered"]
    assert len(traced.spans) == 9
    decides = {f"{span.context.span_id:016x}" for span in traced.spans if span.name == "decide"}
    carried = [message.traceparent.split("-")[2] for message in await traced.messages()]
    assert len(carried) == 3, "two of the registration, one of the proposal"
    assert set(carried) < decides


async def test_what_failed_and_was_decided_again_is_seen_once_as_it_is_in_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = decide_loop.decide_event

    def buggy(state: Any, trigger: Any, *rest: Any) -> Any:  # noqa: ANN401
        if trigger.topic == "proposal-submitted":
            raise ZeroDivisionError("a bug made for this test")
        return rule(state, trigger, *rest)

    monkeypatch.setattr(decide_loop, "decide_event", buggy)
    traced = Traced()
    await traced.decide(records_of(closed_job(Events()), {1: HEADERS}))
    assert len(traced.spans) == 9, "the first record was decided twice, and is seen once"
    outcome = {span.attributes["connects.decision.outcome"] for span in traced.spans if span.name == "decide"}
    assert outcome == {"applied", "parked", "recorded"}
    decide = next(span for span in traced.spans if span.attributes.get("connects.decision.outcome") == "parked")
    assert f"{decide.context.trace_id:032x}" == TRACE


async def test_a_settlement_links_to_the_closing_that_this_worker_decided_and_to_nothing_after_a_takeover() -> None:
    send, traced = Events(), Traced()
    messages = closed_job(send)
    settled = occurred_at(messages[-1]) + timedelta(minutes=5)

    async def settle(by: Traced) -> ReadableSpan:
        while not await by.writer.pass_time(settled, seconds=60):
            pass
        await by.commit()
        return next(span for span in by.spans if span.name == "settle")

    await traced.decide(records_of(messages, {2: HEADERS}))
    links = (await settle(traced)).links
    assert [f"{link.context.trace_id:032x}" for link in links] == [TRACE]

    before = Traced()
    await before.decide(records_of(messages, {2: HEADERS}))
    after = Traced(store=before.store)
    await after.writer.open()
    span = await settle(after)
    assert (span.parent, list(span.links)) == (None, [])
    carried = (await after.messages())[-1].traceparent
    assert carried.split("-")[1] == f"{span.context.trace_id:032x}"


async def test_where_the_library_is_disabled_the_trace_of_a_record_goes_through_and_none_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    traced = Traced()
    await traced.decide(records_of(closed_job(Events()), {0: HEADERS}))
    sent = HEADERS[0][1].decode()
    assert [message.traceparent for message in await traced.messages()] == [sent, sent, ""]
    assert traced.spans == []


async def test_what_a_producer_did_not_sample_is_not_exported_and_goes_on_unsampled() -> None:
    traced = Traced()
    unsampled = (("traceparent", f"00-{TRACE}-{SPAN}-00".encode()),)
    await traced.decide(records_of(closed_job(Events()), {0: unsampled}))
    assert names(traced.spans, TRACE) == []
    assert len(traced.spans) == 6
    _, trace, span, flags = (await traced.messages())[0].traceparent.split("-")
    assert (trace, flags) == (TRACE, "00")
    assert span != "0" * 16


async def test_spans_that_fail_after_the_commit_do_not_undo_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug made for this test")

    monkeypatch.setattr(DecisionSpans, "committed", fail)
    traced = Traced()
    with capture_logs() as lines:
        await traced.decide(records_of(closed_job(Events()), {}))
    assert len(list(traced.store.tables.decisions)) == 3
    assert "tracing.failed" in {line["event"] for line in lines}


async def test_the_ledger_and_the_messages_are_the_same_with_and_without_tracing() -> None:
    start = datetime.now(UTC) - timedelta(hours=1)

    async def decided(commits: Any) -> tuple[Any, Any]:  # noqa: ANN401
        traced = Traced(commits)
        await traced.decide(records_of(closed_job(Events(start)), {0: HEADERS}))
        rows = [row._replace(recorded_at=None) for row in traced.store.tables.decisions]
        rows_out = await traced.store.outbox_rows(0, 10_000_000)
        return rows, [_plain(message) for row in rows_out for message in unpack(row.messages)]

    assert await decided(None) == await decided(Commits)


def _plain(message: Message) -> tuple[Any, ...]:
    body = msgspec.json.decode(message.value)
    body.pop("recorded_at", None)
    return message.topic, message.key, body, message.ce_id, message.ce_time


def test_a_release_without_tracing_reads_what_one_with_it_has_packed_and_the_other_way_round() -> None:
    plain = Message("wallet-updated", b"f-1", b"{}", "id", "2026-01-01T00:00:00Z")
    traced = TracedMessage(*(getattr(plain, name) for name in plain.__struct_fields__), "00-a-b-01", "a=1")
    assert unpack(pack([traced])) == [plain]
    assert unpack_traced(pack([plain, traced])) == [
        TracedMessage(plain.topic, plain.key, plain.value, plain.ce_id, plain.ce_time),
        traced,
    ]
