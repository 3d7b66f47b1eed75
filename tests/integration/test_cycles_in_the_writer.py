"""Cycle starts through the real writer on a real PostgreSQL: each once, in order, in bounded parts, or parked."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.kit.deciding import GRACE, Deciding, FewAppointments, as_read, deciding
from tests.kit.policies import as_document, policies, policy_text
from tests.model.ledger import Ledger, check, read_ledger
from tests.property.test_writer_found_before import Timeline
from worker.domain.model import FreelancerId, Membership, Wallet
from worker.domain.rules import memberships
from worker.engine.loading import cache as memory
from worker.engine.loading import first_decisions
from worker.ledger.parked import ParkedKey
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import CYCLE, Appointment

REGISTERED = datetime(2026, 1, 10, 12, tzinfo=UTC)
FEBRUARY, MARCH, APRIL = (datetime(2026, month, 10, tzinfo=UTC) for month in (2, 3, 4))
PLUS = {"freelancer_id": "f-1", "plan": "plus"}
A_DAY, A_SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


async def checked(database_url: str) -> Ledger:
    ledger = await read_ledger(database_url)
    report = check(ledger, as_document(policy_text()), movements_in_order=False)
    assert report.ok, str(report)
    return ledger


def clock_work(ledger: Ledger) -> list[tuple[str, str]]:
    return [(row["event_id"], row["reason"]) for row in ledger.decisions if row["kind"] == "clock"]


def follow_ups(ledger: Ledger) -> list[tuple[int, str, str]]:
    """The follow-ups: of which decision, why, and by which event."""
    return [(row["follows"], row["reason"], row["event_id"]) for row in ledger.decisions if row["kind"] == "follow-up"]


# Each once, in order.


@pytest.mark.parametrize("store", [PostgresStore, FewAppointments])
@pytest.mark.parametrize("batch_size", [1, 3, 1_000])
async def test_all_cycles_of_one_midnight_are_started_once_in_the_order_of_their_freelancers(
    database_url: str, timeline: Timeline, store: type[PostgresStore], batch_size: int
) -> None:
    names = ["f-1", "f-10", "f-2", "F-1", "f.1", "f:1", "f_1", "a", "Z"]
    async with deciding(database_url, policies(), batch_size=batch_size, store=store) as decides:
        await decides.decide([timeline.registered(REGISTERED, name) for name in names])
        await decides.until(MARCH + GRACE)
        assert decides.writer.clock_due(MARCH + GRACE) == 0
    assert clock_work(await checked(database_url)) == [
        (f"cycle:{name}:{day}", "cycle-started") for day in ("2026-02-10", "2026-03-10") for name in sorted(names)
    ]


async def test_cycle_starts_that_are_due_are_counted_with_the_other_clock_work(
    database_url: str, timeline: Timeline
) -> None:
    """The value of the metric `connects_clock_due`; `status` counts the same in the ledger."""
    async with deciding(database_url, policies()) as decides:
        closed = timeline.closed(FEBRUARY - A_SECOND)
        await decides.decide([timeline.registered(REGISTERED, "f-1"), timeline.registered(REGISTERED, "f-2"), closed])
        due = decides.writer.clock_due
        assert [due(FEBRUARY + GRACE - A_SECOND), due(FEBRUARY + GRACE), due(REGISTERED + 365 * A_DAY + GRACE)] == [
            1,
            3,
            5,
        ]
        await decides.until(FEBRUARY + GRACE)
        assert due(FEBRUARY + GRACE) == 0


async def test_a_worker_that_was_down_for_long_starts_every_missed_cycle_and_expires_what_expired(
    database_url: str, timeline: Timeline
) -> None:
    async with deciding(database_url, policies()) as decides:
        await decides.decide([timeline.registered(REGISTERED)])
        await decides.commit()
        await decides.restart()
        await decides.until(REGISTERED + timedelta(days=400))
    ledger = await checked(database_url)
    changes = [(change["rule"], change["occurred_at"]) for row in ledger.decisions for change in row["changes"]]
    starts = [("grant.monthly", datetime(2026, month, 10, tzinfo=UTC)) for month in range(2, 13)]
    starts += [
        ("grant.monthly", datetime(2027, 1, 10, tzinfo=UTC)),
        ("grant.monthly", datetime(2027, 2, 10, tzinfo=UTC)),
    ]
    assert changes == [
        ("grant.registration", REGISTERED),
        *starts[:12],
        ("expire.lot", REGISTERED.replace(year=2027)),
        ("expire.lot", FEBRUARY.replace(year=2027)),  # the same instant, and expiries come first
        starts[12],
    ]


async def test_an_appointment_is_void_once_its_cycle_was_moved(database_url: str, timeline: Timeline) -> None:
    up = REGISTERED + 10 * A_DAY
    records = [
        timeline.registered(REGISTERED),
        timeline.event("membership-plan-chosen", up, **PLUS),
        timeline.event(
            "membership-charge-settled",
            *(up + A_DAY,),
            freelancer_id="f-1",
            charge_id="f-1:e-membership-plan-chosen-0:1",
            outcome="paid",
            source="card",
        ),
    ]
    async with deciding(database_url, policies()) as decides:
        await decides.decide(records)
        await decides.until(FEBRUARY + 11 * A_DAY)
    assert clock_work(await checked(database_url)) == [("renewal:f-1:2026-02-20", "charge-requested")]


async def test_what_waits_for_a_cycle_start_or_a_charge_still_does_after_a_restart(
    database_url: str, timeline: Timeline
) -> None:
    answer = {"freelancer_id": "f-1", "charge_id": "f-1:e-membership-plan-chosen-0:1", "outcome": "paid", "source": "x"}
    records = [
        timeline.registered(REGISTERED),
        timeline.event("membership-charge-settled", FEBRUARY - A_DAY, **answer),
        timeline.event("membership-plan-chosen", FEBRUARY + A_SECOND, **PLUS),
    ]
    async with deciding(database_url, policies()) as decides:
        for record in records:
            await decides.decide([record])
            await decides.commit()
            await decides.restart()
        await decides.until(FEBRUARY + GRACE)
    ledger = await checked(database_url)
    assert clock_work(ledger) == [("cycle:f-1:2026-02-10", "cycle-started")]
    assert [(follows, reason) for follows, reason, _ in follow_ups(ledger)] == [
        (3, "charge-requested"),
        (2, "upgraded"),
    ]
    assert [wallet["balance"] for wallet in ledger.wallets] == [40 + 10 + 70]


# In bounded parts, live events first.


class Counting(PostgresStore):
    """A store that records how many wallets it was asked for, each time."""

    asked: list[int]

    async def wallets(self, ids: Sequence[FreelancerId], after: datetime | None) -> dict[FreelancerId, Wallet]:
        self.asked = [*getattr(self, "asked", []), len(ids)]
        return await super().wallets(ids, after)


def registrations(timeline: Timeline, count: int) -> list[Any]:
    return [timeline.registered(REGISTERED, f"f-{number:04}") for number in range(count)]


async def with_a_backlog(decides: Deciding, timeline: Timeline, count: int) -> None:
    """Cycles of that many begin at one midnight, which is now; nobody is in memory."""
    await decides.decide(registrations(timeline, count))
    await decides.commit()
    decides.wall_clock = FEBRUARY + GRACE
    await decides.restart()


async def test_a_live_event_neither_waits_for_a_backlog_of_cycles_nor_loads_it(
    database_url: str, timeline: Timeline
) -> None:
    async with deciding(database_url, policies(), store=Counting) as decides:
        await with_a_backlog(decides, timeline, 600)
        assert not await decides.writer.pass_time(FEBRUARY + GRACE, seconds=0)
        decides.store.asked = []
        await decides.decide([timeline.bought(FEBRUARY + GRACE - A_SECOND, 5, "f-0599")])
        await decides.commit()
        assert decides.store.asked[-1] == 1
        assert len(decides.store.asked) <= 2, "it waits for what is being loaded, and for no more"
        await decides.until(FEBRUARY + GRACE)
        assert max(decides.store.asked) <= 250
    ledger = await checked(database_url)
    kinds = [row["kind"] for row in ledger.decisions[600:]]
    assert kinds.index("first") < 10
    assert kinds.count("clock") == 600


async def test_loads_overlap_and_none_comes_in_over_what_was_changed_since(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what two loads want only one asks the ledger; the other waits for it, and leaves it as it is then."""
    async with deciding(database_url, policies()) as decides:
        await with_a_backlog(decides, timeline, 3)
        loading = decides.writer._loop.cache  # noqa: SLF001
        asked: list[str] = []
        of_store = decides.store.memberships

        async def memberships(ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
            asked.extend(ids)
            return await of_store(ids)

        monkeypatch.setattr(decides.store, "memberships", memberships)
        work = [Appointment(FEBRUARY + GRACE, CYCLE, f"f-{number:04}", (), 0, f"f-{number:04}") for number in range(3)]
        first = loading.begin(loading.prepare_due(work[:2], FEBRUARY))
        second = loading.begin(loading.prepare_due(work[1:], FEBRUARY))
        await first
        shared = loading.state.memberships[FreelancerId("f-0001")]
        await second
        assert sorted(asked) == ["f-0000", "f-0001", "f-0002"]
        assert loading.state.memberships[FreelancerId("f-0001")] is shared


async def test_what_was_changed_while_it_was_asked_for_stays(database_url: str, timeline: Timeline) -> None:
    """It may have come in another way meanwhile: then the ledger's answer is older than what is in memory."""
    async with deciding(database_url, policies()) as decides:
        await with_a_backlog(decides, timeline, 1)
        loading = decides.writer._loop.cache  # noqa: SLF001
        name = FreelancerId("f-0000")
        work = [Appointment(FEBRUARY + GRACE, CYCLE, name, (), 0, name)]
        asking = loading.begin(loading.prepare_due(work, FEBRUARY))
        await asyncio.sleep(0)
        changed = loading.state.memberships[name] = Membership(name, version=7)
        wallet = loading.state.wallets[name] = Wallet(name, balance=70)
        await asking
        assert loading.state.memberships[name] is changed
        assert loading.state.wallets[name] is wallet


AS_PLUS = """
UPDATE memberships SET plan = 'plus', renewal_charge = freelancer_id || ':2026-01-10:1';
INSERT INTO charges SELECT freelancer_id || ':2026-01-10:1', freelancer_id, 'renewal', '2026-01-10', NULL, 1, 1999,
    'USD', 'payment-method', NULL, false, '2026-01-10Z', 0, 'asked' FROM memberships
"""


async def test_a_cycle_start_finds_its_charge_though_charges_were_forgotten(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MOST_CHARGES", 2)
    connection = await asyncpg.connect(database_url)
    async with deciding(database_url, policies()) as decides:
        await with_a_backlog(decides, timeline, 5)
        await decides.commit()
        await connection.execute(AS_PLUS)
        await decides.restart()
        assert not await decides.writer.pass_time(FEBRUARY + GRACE, seconds=0)
        await decides.decide([timeline.bought(FEBRUARY + GRACE - A_SECOND, 5, "f-0001")])
        await decides.until(FEBRUARY + GRACE)
        assert decides.writer.parked == {}
    assert await connection.fetchval("SELECT count(*) FROM charges WHERE status = 'lapsed'") == 5
    await connection.close()


async def test_a_chunk_of_clock_work_ends_with_its_time_and_the_next_goes_on(
    database_url: str, timeline: Timeline
) -> None:
    async with deciding(database_url, policies(), store=FewAppointments) as decides:
        await with_a_backlog(decides, timeline, 20)
        chunks = 1
        while not await decides.writer.pass_time(FEBRUARY + GRACE, seconds=0):
            chunks += 1
        await decides.commit()
    assert chunks > 20
    assert len(clock_work(await checked(database_url))) == 20


async def test_a_backlog_of_cycles_does_not_pile_up_in_memory(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_WALLETS", "MOST_MEMBERSHIPS", "MOST_GRANTS"):
        monkeypatch.setattr(memory, name, 100)
    async with deciding(database_url, policies(), batch_size=50) as decides:
        await with_a_backlog(decides, timeline, 1_500)
        await decides.until(FEBRUARY + GRACE)
        state = decides.writer._loop.cache.state  # noqa: SLF001
        assert len(state.wallets) <= 500
        assert len(state.memberships) <= 500
    assert len(clock_work(await checked(database_url))) == 1_500


async def test_what_records_were_prepared_for_is_there_after_clock_work_before_them(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clock work amid a batch may make room for itself: what it forgets is loaded again."""
    monkeypatch.setattr(first_decisions, "MOST_SEEN", 3)
    for name in ("MOST_WALLETS", "MOST_MEMBERSHIPS"):
        monkeypatch.setattr(memory, name, 3)
    async with deciding(database_url, policies(), batch_size=5) as decides:
        await decides.decide(registrations(timeline, 40))
        await decides.commit()
        await decides.restart()
        late = [timeline.bought(MARCH + number * A_SECOND, 5, f"f-{number:04}") for number in range(40)]
        again = as_read([{**place_of(late[0]), "offset": 1_000, "business_time": MARCH + A_DAY}])
        await decides.decide([*late, timeline.registered(MARCH + A_DAY, "f-new"), *again])
        await decides.commit()
    ledger = await checked(database_url)
    assert {wallet["balance"] for wallet in ledger.wallets if wallet["freelancer_id"] != "f-new"} == {40 + 10 + 10 + 5}
    assert ledger.decisions[-1]["outcome"] == "duplicate"


async def test_clock_work_is_done_while_records_are_read_ahead_and_they_are_decided_all_the_same(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clock work may make room for itself meanwhile: what was loaded for the records is loaded again."""
    monkeypatch.setattr(first_decisions, "MOST_SEEN", 3)
    for name in ("MOST_WALLETS", "MOST_MEMBERSHIPS", "MOST_GRANTS"):
        monkeypatch.setattr(memory, name, 3)
    async with deciding(database_url, policies(), batch_size=5) as decides:
        await with_a_backlog(decides, timeline, 100)
        writer, finished, number = decides.writer, False, 0
        while not finished:
            bought = timeline.bought(FEBRUARY + GRACE - A_SECOND, 5, f"f-{number:04}")
            again = as_read([{**place_of(bought), "partition": 1, "offset": number, "business_time": FEBRUARY}])
            records = [bought, *again]
            await writer.read_ahead(records)
            finished = await writer.pass_time(FEBRUARY + GRACE, seconds=0.02, least_seconds=0)
            await writer.decide(records)
            await writer.flush()
            number += 1
        await decides.commit()
        assert writer._loop.cache.forgotten > 0  # noqa: SLF001
    ledger = await checked(database_url)
    assert len(clock_work(ledger)) == 100
    firsts = [row["outcome"] for row in ledger.decisions[100:] if row["kind"] == "first"]
    assert firsts == ["applied", "duplicate"] * number


async def test_records_read_ahead_survive_a_failure_in_clock_work(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deciding(database_url, policies()) as decides:
        await with_a_backlog(decides, timeline, 20)
        Bug(monkeypatch, "f-0003")
        records = [timeline.bought(FEBRUARY + GRACE - A_SECOND, 5, f"f-{number:04}") for number in range(5)]
        await decides.writer.read_ahead(records)
        assert not await decides.writer.pass_time(FEBRUARY + GRACE, seconds=60), "it begins anew"
        await decides.writer.decide(records)
        await decides.until(FEBRUARY + GRACE)
        assert decides.writer.parked == {ParkedKey("wallet", "f-0003"): {"cycle:f-0003:2026-02-10"}}
    ledger = await read_ledger(database_url)  # which cannot be checked whole: the model's rule does not fail
    outcomes = Counter((row["kind"], row["outcome"]) for row in ledger.decisions[20:])
    assert outcomes == {("first", "applied"): 5, ("clock", "applied"): 19, ("clock", "parked"): 1}


def place_of(record: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"topic": record.source.topic, "partition": record.source.partition, "payload": record.value}


# A failure in a rule.


class Bug:
    """While it lasts, no cycle of one freelancer starts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, freelancer_id: str = "f-bug") -> None:
        self._monkeypatch, self._rule, self._freelancer_id = monkeypatch, memberships.start_cycle, freelancer_id
        self.make()

    def make(self) -> None:
        def start_cycle(books: Any, due: Any, policies: Any) -> Any:  # noqa: ANN401
            steps = self._rule(books, due, policies)
            if due.membership.freelancer_id == self._freelancer_id:
                raise ZeroDivisionError
            return steps

        self._monkeypatch.setattr(memberships, "start_cycle", start_cycle)

    def mend(self) -> None:
        self._monkeypatch.setattr(memberships, "start_cycle", self._rule)


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> Bug:
    return Bug(monkeypatch)


KEY = ParkedKey("wallet", "f-bug")


@pytest.mark.parametrize("store", [PostgresStore, FewAppointments])
async def test_a_cycle_that_fails_stops_that_wallet_once_and_all_others_go_on(
    database_url: str, timeline: Timeline, bug: Bug, store: type[PostgresStore]
) -> None:
    names = ("f-1", "f-bug", "f-2")
    async with deciding(database_url, policies(), store=store) as decides:
        await decides.decide([timeline.registered(REGISTERED, name) for name in names])
        await decides.until(FEBRUARY + GRACE)
        await decides.until(MARCH + GRACE)
        await decides.restart()
        await decides.until(APRIL + GRACE)
        assert decides.writer.parked == {KEY: {"cycle:f-bug:2026-02-10"}}
        assert await decides.writer.release(KEY) == (0, 1, "ZeroDivisionError: ")
        bug.mend()
        assert await decides.writer.release(KEY) == (1, 0, None)
        await decides.until(APRIL + GRACE)
        assert decides.writer.parked == {}
    ledger = await read_ledger(database_url)
    assert [one for one in clock_work(ledger) if "f-bug" in one[0]] == [
        ("cycle:f-bug:2026-02-10", "failure-in-rule"),
        ("cycle:f-bug:2026-03-10", "cycle-started"),
        ("cycle:f-bug:2026-04-10", "cycle-started"),
    ]
    (parked,) = (row for row in ledger.decisions if row["outcome"] == "parked")
    assert (parked["occurred_at"], parked["business_time"]) == (FEBRUARY, FEBRUARY + GRACE)
    assert follow_ups(ledger) == [(parked["seq"], "cycle-started", "cycle:f-bug:2026-02-10")]
    (released,) = (row for row in ledger.decisions if row["kind"] == "follow-up")
    assert (released["occurred_at"], released["business_time"]) == (FEBRUARY, FEBRUARY + GRACE)
    assert {wallet["freelancer_id"]: wallet["balance"] for wallet in ledger.wallets} == dict.fromkeys(names, 70)


async def test_what_came_behind_a_cycle_that_failed_is_decided_in_order_when_it_is_released(
    database_url: str, timeline: Timeline, bug: Bug
) -> None:
    """And what was held for that cycle start follows it directly."""
    me = {"freelancer_id": "f-bug"}
    async with deciding(database_url, policies()) as decides:
        records = [
            timeline.registered(REGISTERED, "f-bug"),
            timeline.event("account-suspended", FEBRUARY + A_SECOND, **me, scope="account"),
        ]
        await decides.decide(records)
        await decides.until(FEBRUARY + GRACE)
        await decides.decide([timeline.event("account-reinstated", FEBRUARY + A_DAY, **me, scope="account")])
        await decides.commit()
        await decides.restart()
        bug.mend()
        assert await decides.writer.release(KEY) == (2, 0, None)
        await decides.until(MARCH + GRACE)
    ledger = await read_ledger(database_url)
    assert [(row["kind"], row["outcome"], row["reason"]) for row in ledger.decisions] == [
        ("first", "applied", "registered"),
        ("first", "recorded", "awaits-cycle-start"),
        ("clock", "parked", "failure-in-rule"),
        ("first", "parked", "waits-behind"),
        ("follow-up", "applied", "cycle-started"),
        ("follow-up", "applied", "suspended"),
        ("follow-up", "applied", "reinstated"),
        ("clock", "applied", "cycle-started"),
    ]
    assert [row["follows"] for row in ledger.decisions if row["kind"] == "follow-up"] == [3, 2, 4]


async def test_an_event_that_was_parked_and_then_awaits_a_cycle_start_is_decided_at_last(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deciding(database_url, policies()) as decides:
        await decides.decide([timeline.registered(REGISTERED)])
        with monkeypatch.context() as broken:
            broken.setattr(memberships, "await_cycle_start", None)
            await decides.decide([timeline.event("membership-plan-chosen", FEBRUARY + A_SECOND, **PLUS)])
            await decides.commit()
        await decides.restart()
        assert await decides.writer.release(ParkedKey("wallet", "f-1")) == (1, 0, None)
        await decides.commit()
        await decides.restart()
        await decides.until(FEBRUARY + GRACE)
    ledger = await read_ledger(database_url)
    assert [(follows, reason) for follows, reason, _ in follow_ups(ledger)] == [
        (2, "awaits-cycle-start"),
        (3, "charge-requested"),
    ]


async def test_a_cycle_that_does_not_end_is_a_failure_and_not_done_for_ever(
    database_url: str, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deciding(database_url, policies(), store=FewAppointments) as decides:
        await decides.decide([timeline.registered(REGISTERED)])
        monkeypatch.setattr(memberships, "enter_cycle", lambda *_: None)
        await decides.until(FEBRUARY + GRACE)
        assert list(decides.writer.parked) == [ParkedKey("wallet", "f-1")]


async def test_a_renewal_that_failed_was_released_and_is_never_answered_lapses_as_any_other(
    database_url: str, timeline: Timeline, bug: Bug
) -> None:
    """The cycle that it was for is booked under the name that it waited under."""
    me = {"freelancer_id": "f-bug"}
    async with deciding(database_url, policies()) as decides:
        bug.mend()
        chosen = timeline.event("membership-plan-chosen", REGISTERED, **me, plan="plus")
        assert chosen.event is not None
        charge = {"charge_id": f"f-bug:{chosen.event.event_id}:1", "outcome": "paid", "source": "card"}
        paid = timeline.event("membership-charge-settled", REGISTERED + A_SECOND, **me, **charge)
        await decides.decide([timeline.registered(REGISTERED, "f-bug"), chosen, paid])
        bug.make()
        await decides.until(FEBRUARY + GRACE)
        bug.mend()
        assert await decides.writer.release(KEY) == (1, 0, None)
        await decides.until(MARCH + GRACE)
        assert decides.writer.parked == {}
    shown = [(row["kind"], row["event_id"], row["reason"]) for row in (await read_ledger(database_url)).decisions][3:]
    assert shown == [
        ("clock", "cycle:f-bug:2026-02-10", "failure-in-rule"),
        ("follow-up", "renewal:f-bug:2026-02-10", "charge-requested"),
        ("clock", "renewal:f-bug:2026-03-10", "charge-failed"),
        ("clock", "cycle:f-bug:2026-02-10", "cycle-started"),
        ("clock", "cycle:f-bug:2026-03-10", "cycle-started"),
    ]


async def test_positions_stay_before_records_that_a_stop_has_left(database_url: str, timeline: Timeline) -> None:
    records = [timeline.registered(REGISTERED), timeline.event("badge-earned", APRIL, freelancer_id="f-1", badge="b")]
    async with deciding(database_url, policies()) as decides:
        await decides.decide(records[:1])
        decides.writer.stop()
        await decides.decide(records[1:])
        await decides.writer.advance({records[1].source: 1})
        await decides.commit()
        await decides.restart()
        assert records[1].source not in decides.writer.positions
