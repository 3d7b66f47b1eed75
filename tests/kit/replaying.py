"""Plans made by hand: what events would bring is found out on a copy of a ledger in memory, and applied to it."""

import copy
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from schemas.reading import read_event
from tests.kit.deciding import GRACE, SKEW, Deciding, as_read, deciding
from tests.kit.deciding_again import decide_again
from tests.kit.overlays import MemorySnapshot
from tests.kit.republishing import same_when_made_again
from worker.domain.decisions import Outcome
from worker.domain.policy import PolicyBook
from worker.engine.commands import Answer, Command, CommandRunner
from worker.engine.replay_commands import MOST_IN_A_CHUNK
from worker.errors import BatchRefused
from worker.kafka.input.reading import RecordReader
from worker.kafka.records import InputRecord, TopicPartition
from worker.ledger.batch import Batch
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows
from worker.release import release
from worker.repair.archives import Line
from worker.repair.brought import versions_in
from worker.repair.candidates import Candidates
from worker.repair.overlay import Overlay
from worker.repair.plan import FORMAT, Added, Expected, Header, Settle, Trigger
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.selecting import JobToSettle
from worker.wall_clock import WallClock

Some = TypeVar("Some", Added, Settle)
Event = tuple[str, dict[str, Any]]
"""A topic, and the fields of an event of it."""
PLAN = "ab" * 32
_ELSEWHERE = 99
"""A partition that no test reads."""


def value_of(event: Event) -> str:
    return json.dumps(event[1])


async def planned(store: MemoryStore, book: PolicyBook, events: Sequence[Event], first: int = 1) -> list[Added]:
    """These events as triggers, each with what it brings after those before it; the ledger is left as it is."""
    trial = copy.deepcopy(store)
    triggers = []
    async with deciding(trial, book) as decides:
        if (business_time := decides.writer.business_time) is not None:
            decides.wall_clock = business_time + decides.grace  # events are live then: no clock work between them
        for number, (topic, fields) in enumerate(events, first):
            value = value_of((topic, fields)).encode()
            place = (TopicPartition(topic, _ELSEWHERE), 0, number)
            event = read_event(topic, value)
            record = InputRecord(*place, 0, None, value, (), event, None, None, decides.writer.business_time)
            await decides.decide([record])
            await decides.commit()
            triggers.append(_trigger(trial, number, (topic, fields)))
    return triggers


async def planned_again(
    store: MemoryStore, book: PolicyBook, jobs: Sequence[str], *, late_hires: bool = False, adds: Sequence[Event] = ()
) -> Planned:
    """A plan that adds these events and settles these jobs again; the ledger is left as it is."""
    snapshot = MemorySnapshot(copy.deepcopy(store))
    overlay = Overlay(snapshot)
    await overlay.open()
    now = datetime(2999, 12, 31, tzinfo=UTC)
    reader = RecordReader(WallClock(), SKEW)
    ground = Ground(book, GRACE, SKEW, reader, Progress(), now)
    found = [JobToSettle(job, late_hires, "late-hires" if late_hires else "owed", 0) for job in jobs]
    events = Candidates(snapshot, reader, Progress())
    await events.add(Line("lost.jsonl", n, one[0], value_of(one).encode()) for n, one in enumerate(adds, 1))
    return await plan_all(overlay, events, ground, found)


def _trigger(trial: MemoryStore, number: int, event: Event) -> Added:
    topic, fields = event
    rows = sorted(trial.tables.decisions, key=lambda row: row.seq)
    own = next(row for row in rows if (row.topic, row.partition, row.offset) == (topic, _ELSEWHERE, number))
    seqs = [row.seq for row in rows if row.seq >= own.seq]
    wallets: dict[str, int] = {}
    for change in trial.tables.changes:
        if change.decision_seq in seqs:
            wallets[change.freelancer_id] = wallets.get(change.freelancer_id, 0) + change.delta
    expected = Expected(own.outcome, own.reason, {name: delta for name, delta in wallets.items() if delta})
    return Added(number, topic, fields["event_id"], value_of(event), "lost.jsonl", number, expected)


def expecting(trigger: Some, outcome: Outcome, reason: str, **wallets: int) -> Some:
    """A trigger that was planned to bring something else."""
    return msgspec.structs.replace(trigger, expected=Expected(outcome, reason, wallets))


def header(book: PolicyBook, ledger_id: str, **otherwise: Any) -> Header:  # noqa: ANN401
    made_at = datetime(2026, 12, 1, tzinfo=UTC)
    made = Header(FORMAT, ledger_id, release(), versions_in(book), 1, None, made_at)
    return msgspec.structs.replace(made, **otherwise)


async def ask(decides: Deciding, name: str, arguments: dict[str, Any]) -> Answer:
    """A command as the writer reads it: its arguments were JSON."""
    asked = json.loads(msgspec.json.encode(arguments))
    return await CommandRunner(decides.writer).run(Command(uuid4(), name, asked, "ana", "lost by the importer"))


async def begin(decides: Deciding, book: PolicyBook, triggers: int, plan: str = PLAN) -> Answer:
    made = header(book, await decides.store.ledger_id())
    return await ask(decides, "replay-begin", {"plan": plan, "header": made, "triggers": triggers})


async def add(decides: Deciding, triggers: Sequence[Trigger], plan: str = PLAN, *, give_only: bool = False) -> Answer:
    return await ask(decides, "replay-decide", {"plan": plan, "give_only": give_only, "triggers": triggers})


async def apply(decides: Deciding, book: PolicyBook, triggers: Sequence[Trigger], plan: str = PLAN) -> Answer:
    """Begin a plan and decide all of its triggers in one chunk, or as few as they go into."""
    await begin(decides, book, len(triggers), plan)
    most = MOST_IN_A_CHUNK
    answers = [await add(decides, triggers[at : at + most], plan) for at in range(0, max(len(triggers), 1), most)]
    if len(answers) == 1:
        return answers[0]
    booked = sum(int(str(one.told.get("booked", 0))) for one in answers)
    return replace(answers[-1], told={**answers[-1].told, "booked": booked})


def became(store: MemoryStore) -> list[tuple[int, str, str]]:
    """What became of each trigger: number, outcome, reason."""
    return sorted((row.number, row.outcome, row.reason) for row in store.tables.replayed)


class Refusing(MemoryStore):
    """Refuses batches that decide on an event of this id, as PostgreSQL might."""

    refuses = ""

    async def commit(self, batch: Batch, epoch: int) -> None:
        if self.refuses and any(row.event_id == self.refuses for row in batch.decisions):
            raise BatchRefused("refused", "for a test")
        await super().commit(batch, epoch)


def event(topic: str, event_id: str, at: str = "2026-03-01T10:00:00Z", **fields: Any) -> Event:  # noqa: ANN401
    return topic, {"event_id": event_id, "occurred_at": at, **fields}


def registered(name: str) -> Event:
    return event("freelancer-registered", f"r-{name}", freelancer_id=name)


def bought(name: str, purchase: str, connects: int = 10) -> Event:
    named = {"freelancer_id": name, "purchase_id": purchase, "connects": connects}
    return event("connects-purchased", f"e-{purchase}", "2026-03-02T10:00:00Z", **named)


def proposed(name: str, proposal: str, job: str = "j-1", connects: int = 6) -> Event:
    named = {"freelancer_id": name, "proposal_id": proposal, "job_id": job, "origin": "proposal"}
    return event("proposal-submitted", f"s-{proposal}", "2026-03-03T10:00:00Z", **named, connects=connects)


def closed(job: str) -> Event:
    return event(
        "job-closed", f"c-{job}", "2026-03-04T10:00:00Z", job_id=job, client_id="c-1", closure="closed-by-client"
    )


class Came:
    """Lets events come on their topics."""

    def __init__(self, decides: Deciding, offset: int = 0) -> None:
        self._decides, self._offset = decides, offset

    async def __call__(self, *events: Event) -> None:
        rows = []
        for topic, fields in events:
            value = value_of((topic, fields)).encode()
            at = msgspec.convert(fields["occurred_at"], type=datetime)
            rows.append({"topic": topic, "partition": 0, "offset": self._offset, "payload": value, "business_time": at})
            self._offset += 1
        await self._decides.decide(as_read(rows))
        await self._decides.commit()


@asynccontextmanager
async def leading(store: MemoryStore, book: PolicyBook, **how: Any) -> AsyncIterator[Deciding]:  # noqa: ANN401
    """A leader of an empty ledger in memory that has these policies; `how` as of `deciding`."""
    async with deciding(store, book, **how) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        yield decides


def balance(store: MemoryStore, name: str) -> int:
    return max(store.tables.changes_of.of(name), key=lambda row: row.version).balance_after


async def nothing_is_found(store: MemoryStore, *parts: int, shown: str = "") -> None:
    """Deciding the ledger again finds nothing, whole or in parts, and current state is what that makes.

    Messages that are made again are those that were published. `shown` is printed if it is not so.
    """
    for count in parts or (1,):
        found = await decide_again(MemoryReader(store, 50), count, MemoryRows(store.tables))
        assert not found.findings, f"{found}\n{shown}"
        assert (found.tally.row_count, found.tally.skipped) == (0, 0), f"{found}\n{shown}"
    await same_when_made_again(store)


def told(answer: Answer) -> tuple[Any, ...]:
    """The outcome, the reason, and how many triggers have which."""
    return answer.outcome, answer.reason, *(answer.told.get(name) for name in ("booked", "deviated", "left_out"))
