"""Every store returns what was committed, as it was."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from tests.contract.conftest import RECORDED_AT, Kept
from tests.kit.policies import policies
from tests.kit.story import GRACE, Story, day
from worker.domain.model import Cause, FreelancerId, Grant, Job, JobId, LotId, ProposalId, Spend, Wallet
from worker.domain.state import Awaited, State
from worker.engine.commands import Answer, Command, command_decision
from worker.engine.loading.cache import Cache
from worker.engine.open_batch import OpenBatch
from worker.kafka.holds import Hold, place_of
from worker.kafka.records import Position, TopicPartition
from worker.ledger.event_key import seen_key
from worker.ledger.leaves import log_after
from worker.ledger.parked import ParkedKey
from worker.ledger.store import EXPIRY, LATE_SETTLEMENT, LATEST, SETTLEMENT, Appointment, FirstDecision, Tail
from worker.ledger.tables import HoldRow, ParkedRow, ParkedTriggerRow, ReplayedRow, ReplayRow

F1, J1, P1 = FreelancerId("f-1"), JobId("j-1"), ProposalId("p-1")


def plain(thing: object) -> object:
    """Working copies have no equality of their own: their contents."""
    return msgspec.to_builtins(thing, builtin_types=(datetime,))


async def wallet_of(kept: Kept, name: str, after: datetime | None = None) -> Wallet:
    return (await kept.store.wallets([FreelancerId(name)], after))[FreelancerId(name)]


async def spend_of(kept: Kept, name: str) -> Spend:
    (spend,) = await kept.store.spends([ProposalId(name)])
    return spend


def eventful(story: Story) -> Iterator[object]:
    """A bit of everything: drained and open lots, debts, returned lines, closures, hires, what waits."""
    yield story.registered("f-1", at=day(0))
    yield story.bought("f-1", 10, "b-1", at=day(0))
    yield story.proposed("p-1", by="f-1", on="j-1", connects=44, boost=2, at=day(1))
    yield story.outbid("p-1", by="f-1", on="j-1")
    yield story.proposed("p-2", by="f-1", on="j-2", connects=20, boost=3)
    yield story.proposed("p-3", by="f-1", on="j-2", connects=0)
    yield story.proposed("p-4", by="f-2", on="j-1", connects=3, origin="invite")
    yield story.withdrew("p-2", by="f-1", on="j-2")
    yield story.interviewed("f-1", on="j-7")
    yield story.interviewed("f-1", on="j-8", spent=2_000_000)
    yield story.outbid("p-9", by="f-3", on="j-9")
    yield story.withdrew("p-9", by="f-3", on="j-9")
    yield story.proposed("p-5", by="f-3", on="j-2", connects=6)
    yield story.hired("j-3", at=day(3))
    yield story.hired("j-3", at=day(2))
    yield story.closed("j-2", at=day(4))
    yield story.settled()
    yield story.proposed("p-6", by="f-1", on="j-2", connects=1, at=day(1))
    yield story.closed("j-2", "expired", at=day(3))
    yield story.closed("j-1")


def all_of(story: Story) -> Story:
    for _ in eventful(story):
        pass
    return story


# Nothing yet.


async def test_an_empty_ledger_has_nothing(kept: Kept) -> None:
    store = kept.store
    assert await store.tail() == Tail(0, 0, bytes(32), None, 0, log_after(bytes(32)))
    assert await store.positions() == {}
    assert await store.decided_ahead() == {}
    assert await store.parked() == {}
    assert await store.appointments(10, GRACE) == ([], LATEST)
    assert await store.wallets([F1], None) == {}
    assert await store.spends([P1]) == []
    assert plain(await store.jobs([J1])) == plain({J1: Job(J1)})


@pytest.mark.parametrize("ids", [[], ["unknown"]])
async def test_asking_for_nothing_or_the_unknown_returns_nothing(kept: Kept, story: Story, ids: list[str]) -> None:
    await kept.keep(all_of(story))
    store = kept.store
    assert await store.wallets(ids, None) == {}
    assert await store.spends(ids) == []
    assert await store.awaiting(ids) == []
    assert await store.grants([(name, name) for name in ids]) == []
    assert await store.seen([seen_key("job-closed", name) for name in ids]) == {}
    assert await store.first_decisions([10**9 for _ in ids]) == {}


# Current state, whether it came in one batch or in many.


@pytest.fixture(params=["in one batch", "in a batch for each event"])
async def eventful_ledger(request: pytest.FixtureRequest, kept: Kept, story: Story) -> Kept:
    if request.param == "in one batch":
        await kept.keep(all_of(story))
    else:
        for _ in eventful(story):
            await kept.keep(story)
    return kept


async def test_wallets_are_read_back_as_they_were(eventful_ledger: Kept, story: Story) -> None:
    assert set(story.state.wallets) == {"f-1", "f-2", "f-3", "f-hired"}
    for name, wallet in changed(story).items():
        assert plain(await wallet_of(eventful_ledger, name)) == plain(wallet)
    assert story.debt("f-1") > 0
    assert story.wallet("f-1").drained


async def test_several_wallets_are_read_together(eventful_ledger: Kept, story: Story) -> None:
    found = await eventful_ledger.store.wallets([*story.state.wallets, FreelancerId("f-0")], None)
    assert plain(found) == plain(changed(story))


def changed(story: Story) -> dict[FreelancerId, Wallet]:
    """The wallets that something changed; others were opened only, and are opened again when they are named again."""
    return {name: wallet for name, wallet in story.state.wallets.items() if wallet.version}


async def test_spends_are_read_back_with_their_draws(eventful_ledger: Kept, story: Story) -> None:
    for name, spend in story.state.spends.items():
        assert plain(await spend_of(eventful_ledger, name)) == plain(spend)
    assert len(story.spend("p-1").base.draws) > 1
    assert story.spend("p-1").boost_outbid
    assert story.spend("p-5").refunded_closing_at == day(4)


async def test_jobs_are_read_back_with_closures_hire_and_proposals_in_ledger_order(
    eventful_ledger: Kept, story: Story
) -> None:
    known = {name: job for name, job in story.state.jobs.items() if job.closures or job.proposal_ids}
    known |= {JobId("j-3"): story.state.jobs[JobId("j-3")]}
    assert plain(await eventful_ledger.store.jobs(list(known))) == plain(known)
    assert [closure.closed_at for closure in known[JobId("j-2")].closures] == [day(3), day(4)]
    assert [known[name].closures[0].settled for name in (JobId("j-2"), JobId("j-1"))] == [True, False]
    assert known[JobId("j-2")].proposal_ids == ["p-2", "p-3", "p-5", "p-6"]
    assert known[JobId("j-3")].first_hired_at == day(2)


async def test_what_waits_for_its_proposal_is_read_back_in_ledger_order(eventful_ledger: Kept, story: Story) -> None:
    waiting = await eventful_ledger.store.awaiting([ProposalId("p-9"), P1])
    assert waiting == story.state.awaiting[ProposalId("p-9")]
    assert [shown.is_outbid for shown in waiting] == [True, False]


async def test_grants_are_found_under_their_natural_keys(eventful_ledger: Kept, story: Story) -> None:
    keys = [("grant.purchase", "b-1"), ("grant.interview", "f-1/j-7"), ("grant.badge", "f-1/rising-talent")]
    found = await eventful_ledger.store.grants(keys)
    assert {grant.natural_key: grant for grant in found} == {
        key: story.state.grants[rule, key] for rule, key in keys[:2]
    }
    assert Grant("grant.purchase", "b-1", F1, day(0), 10, 2) in found


async def test_a_grant_is_not_found_under_another_rules_key(eventful_ledger: Kept) -> None:
    assert await eventful_ledger.store.grants([("grant.purchase", "f-1"), ("grant.registration", "b-1")]) == []


async def test_the_tail_is_where_the_last_batch_ended(eventful_ledger: Kept, story: Story) -> None:
    last = eventful_ledger.batches[-1]
    published = [batch.outbox_seq for batch in eventful_ledger.batches if batch.outbox_seq is not None]
    assert published == list(range(1, len(published) + 1))
    tail = await eventful_ledger.store.tail()
    assert tail == Tail(last.batch_no, len(story.decisions), last.chain_head, story.now, published[-1], last.log)


async def test_event_ids_lead_to_their_first_decisions(eventful_ledger: Kept, story: Story) -> None:
    known = {
        seen_key(decision.cause.topic or "", decision.cause.event_id or ""): decision
        for decision in story.decisions
        if decision.kind == "first"
    }
    seqs = await eventful_ledger.store.seen([*known, seen_key("job-closed", "never-heard-of")])
    assert seqs == {key: decision.seq for key, decision in known.items()}
    firsts = await eventful_ledger.store.first_decisions(list(seqs.values()))
    assert firsts == {
        decision.seq: FirstDecision(
            decision.seq,
            decision.cause.topic,
            0,
            0,
            decision.cause.offset,
            decision.payload,
            decision.cause.event_id,
        )
        for decision in known.values()
    }


async def test_an_event_id_belongs_to_its_topic(kept: Kept, story: Story) -> None:
    story.registered("f-1", event_id="e-77")
    await kept.keep(story)
    found = await kept.store.seen([seen_key(topic, "e-77") for topic in ("freelancer-registered", "badge-earned")])
    assert found == {seen_key("freelancer-registered", "e-77"): 1}


# Wallets, in particular.


async def test_a_wallet_that_nothing_ever_changed_is_not_kept(kept: Kept, story: Story) -> None:
    story.earned_badge("f-1", "top-rated")
    await kept.keep(story)
    assert await kept.store.wallets([F1], None) == {}


async def test_drained_lots_are_read_while_they_have_not_expired(kept: Kept, story: Story) -> None:
    story.bought("f-1", 10, at=day(0))
    story.bought("f-1", 10, at=day(1))
    story.bought("f-1", 10, at=day(2))
    story.proposed("p-1", by="f-1", on="j-1", connects=25)
    await kept.keep(story)
    drained = [list((await wallet_of(kept, "f-1", after)).drained) for after in (None, day(364), day(365), day(366))]
    assert drained == [["f-1:1", "f-1:2"], ["f-1:1", "f-1:2"], ["f-1:2"], []]
    assert [lot.remaining for lot in (await wallet_of(kept, "f-1", day(9_999))).lots] == [5]


async def test_lots_are_found_by_their_ids_drained_and_ended_or_not(kept: Kept, story: Story) -> None:
    story.bought("f-1", 10, at=day(0))
    story.bought("f-2", 20, at=day(1))
    story.proposed("p-1", by="f-1", on="j-1", connects=10)
    await kept.keep(story)
    asked = [(FreelancerId(name), LotId(f"{name}:1")) for name in ("f-1", "f-2", "f-9")]
    found = {lot.lot_id: lot for lot in await kept.store.lots(asked)}
    assert plain(found) == plain({"f-1:1": story.wallet("f-1").drained["f-1:1"], "f-2:1": story.wallet("f-2").lots[0]})
    assert await kept.store.lots([]) == []


async def test_lots_are_read_in_burn_order(kept: Kept, story: Story) -> None:
    story.until(day(9))
    for number in (5, 3, 8, 1, 1, 2, 2, 2, 9, 9, 9, 9):
        story.bought("f-1", number, at=day(number))
    await kept.keep(story)
    wallet = await wallet_of(kept, "f-1")
    assert [lot.order for lot in wallet.lots] == sorted(lot.order for lot in story.wallet("f-1").lots)
    # Ids sort as text: the tenth change's lot comes before the second's.
    assert [lot.lot_id for lot in wallet.lots if lot.original == 9] == ["f-1:10", "f-1:11", "f-1:12", "f-1:9"]


async def test_a_wallets_owing_spends_are_those_already_in_memory(kept: Kept, story: Story) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=10)
    story.proposed("p-2", by="f-1", on="j-2", connects=10)
    await kept.keep(story)
    cache = Cache(kept.store, State(GRACE), policies())
    await cache.load_whole_spends([P1], None)
    spend = cache.state.spends[P1]
    await cache.load_wallets([F1], None)
    wallet = cache.state.wallets[F1]
    assert [owing.proposal_id for owing in wallet.owing] == ["p-1", "p-2"]
    assert wallet.owing[0] is spend
    assert all(cache.state.spends[owing.proposal_id] is owing for owing in wallet.owing)


async def test_debts_are_read_oldest_line_first(kept: Kept, story: Story) -> None:
    story.until(day(5))
    for number in (4, 1, 3, 2):
        story.proposed(f"p-{number}", by="f-1", on="j-1", connects=1, at=day(number if number != 2 else 1))
    await kept.keep(story)
    assert [spend.proposal_id for spend in (await wallet_of(kept, "f-1")).owing] == ["p-1", "p-2", "p-3", "p-4"]


# What changes from batch to batch.


async def test_a_later_batch_changes_lots_spends_closures_and_hires(kept: Kept, story: Story) -> None:
    story.registered("f-1", at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=50, boost=1, at=day(1))
    story.hired("j-1", at=day(9))
    story.closed("j-1", at=day(2))
    await kept.keep(story)
    story.settled()
    story.hired("j-1", at=day(8))
    story.withdrew("p-1", by="f-1", on="j-1")
    await kept.keep(story)
    assert plain(await wallet_of(kept, "f-1")) == plain(story.wallet("f-1"))
    assert plain(await spend_of(kept, "p-1")) == plain(story.spend("p-1"))
    assert plain(await kept.store.jobs([J1])) == plain({J1: story.state.jobs[J1]})
    assert story.state.jobs[J1].closures[0].returned_any


@pytest.mark.parametrize("batches", [1, 2])
async def test_what_waited_is_gone_when_its_proposal_has_come(kept: Kept, story: Story, batches: int) -> None:
    story.outbid("p-1", by="f-1", on="j-1")
    story.withdrew("p-1", by="f-1", on="j-1")
    if batches == 2:
        await kept.keep(story)
        assert len(await kept.store.awaiting([P1])) == 2
    story.proposed("p-1", by="f-1", on="j-1", connects=2, boost=3)
    await kept.keep(story)
    assert await kept.store.awaiting([P1]) == []


async def test_an_outbid_that_waits_names_its_record(kept: Kept, story: Story) -> None:
    decision = story.outbid("p-1", by="f-1", on="j-1", event_id="e-5", at=day(3))
    await kept.keep(story)
    cause = Cause("boost-outbid", "e-5", 0, 0, 0)
    assert await kept.store.awaiting([P1]) == [Awaited(P1, decision.seq, True, F1, J1, day(3), cause)]


# The clock's work.


def closed_jobs(story: Story, *seconds: int) -> list[Appointment]:
    """Jobs that close that many seconds into day 1, less than a grace apart, and their settlements."""
    return [
        Appointment(day(1, second) + GRACE, SETTLEMENT, "", (), story.closed(job, at=day(1, second)).seq, job)
        for second, job in ((second, f"j-{second}-{number}") for number, second in enumerate(seconds))
    ]


def an_expiry(number: int, lot_id: str) -> Appointment:
    return Appointment(day(number) + GRACE, EXPIRY, lot_id, (), 0, "f-1")


async def test_all_the_clocks_work_is_listed_when_there_is_little(kept: Kept, story: Story) -> None:
    story.bought("f-1", 10, at=day(1))
    story.bought("f-1", 10, at=day(2))
    closed = story.closed("j-1", at=day(2))
    await kept.keep(story)
    appointments, horizon = await kept.store.appointments(100, GRACE)
    assert sorted(appointments) == [
        Appointment(day(2) + GRACE, SETTLEMENT, "", (), closed.seq, "j-1"),
        an_expiry(366, "f-1:1"),
        an_expiry(367, "f-1:2"),
    ]
    assert horizon == LATEST


async def test_settlements_come_before_expiries_of_the_same_instant(kept: Kept, story: Story) -> None:
    story.bought("f-1", 10, at=day(0))
    closed = story.closed("j-1", at=day(365))
    await kept.keep(story)
    appointments, _ = await kept.store.appointments(100, GRACE)
    assert sorted(appointments) == [
        Appointment(day(365) + GRACE, SETTLEMENT, "", (), closed.seq, "j-1"),
        an_expiry(365, "f-1:1"),
    ]


async def test_work_that_is_done_is_listed_no_more(kept: Kept, story: Story) -> None:
    story.bought("f-1", 10, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=10)
    story.closed("j-1")
    await kept.keep(story)
    assert len((await kept.store.appointments(100, GRACE))[0]) == 1
    story.settled()
    await kept.keep(story)
    assert (await kept.store.appointments(100, GRACE))[0] == [an_expiry(365, "f-1:1")]
    story.passes(days=400)
    await kept.keep(story)
    assert await kept.store.appointments(100, GRACE) == ([], LATEST)


async def test_a_late_settlement_is_shown_for_its_proposal(kept: Kept, story: Story) -> None:
    closed = story.closed("j-1", at=day(2))
    story.settled()
    story.until(day(5))
    story.proposed("p-1", by="f-1", on="j-1", connects=1, at=day(1))
    await kept.keep(story)
    appointments, _ = await kept.store.appointments(100, GRACE)
    assert appointments == [
        Appointment(day(5) + GRACE, LATE_SETTLEMENT, "p-1", (day(2), "closed-by-client"), closed.seq, "j-1")
    ]


async def part_by_part(kept: Kept, limit: int) -> list[Appointment]:
    """All work, read `limit` pieces of each kind at a time."""
    found: list[Appointment] = []
    horizon: Appointment | None = None
    while horizon != LATEST:
        some, further = await kept.store.appointments(limit, GRACE, horizon)
        assert horizon is None or further > horizon, "each reading sees further"
        assert all((horizon is None or work > horizon) and work <= further for work in some)
        found += sorted(some)
        horizon = further
    return found


async def test_of_much_work_the_next_is_reported_and_up_to_when_that_is_all(kept: Kept, story: Story) -> None:
    settlements = closed_jobs(story, 1, 2, 3, 4, 5)
    await kept.keep(story)
    appointments, horizon = await kept.store.appointments(2, GRACE)
    assert (sorted(appointments), horizon) == (settlements[:2], settlements[1])


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
async def test_settlements_of_one_instant_are_read_part_by_part_in_ledger_order(
    kept: Kept, story: Story, limit: int
) -> None:
    settlements = closed_jobs(story, *[1] * 12, 2)  # seq 10 comes after seq 9, though not as a text
    await kept.keep(story)
    appointments, _ = await kept.store.appointments(limit, GRACE)
    assert sorted(appointments) == settlements[:limit]
    assert await part_by_part(kept, limit) == settlements


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_lots_that_expire_at_one_instant_are_read_part_by_part_in_the_order_of_their_ids(
    kept: Kept, story: Story, limit: int
) -> None:
    for number in (1, 1, 1, 2):
        story.bought("f-1", 10, at=day(number))
    for freelancer in ("F-9", "a", "f_1"):  # the collation of a language would order these in another way
        story.bought(freelancer, 10, at=day(1))
    await kept.keep(story)
    at_once = sorted(["f-1:1", "f-1:2", "f-1:3", "F-9:1", "a:1", "f_1:1"])
    found = await part_by_part(kept, limit)
    assert [(work.due_at, work.key) for work in found] == [
        *((day(366) + GRACE, lot_id) for lot_id in at_once),
        (day(367) + GRACE, "f-1:4"),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_late_settlements_of_one_instant_are_read_proposal_by_proposal_in_closing_order(
    kept: Kept, story: Story, limit: int
) -> None:
    for closed_at in (4, 3):
        story.closed("j-1", at=day(closed_at))
    story.settled()
    story.until(day(5))
    for proposal in ("p-2", "P-1", "p-10"):
        story.proposed(proposal, by="f-1", on="j-1", connects=1, at=day(1))
    await kept.keep(story)
    assert [(work.key, work.closing) for work in await part_by_part(kept, limit) if work.rank == LATE_SETTLEMENT] == [
        (proposal, (day(closed_at), "closed-by-client")) for proposal in ("P-1", "p-10", "p-2") for closed_at in (3, 4)
    ]


@pytest.mark.parametrize("expires_first", [True, False])
async def test_nothing_beyond_the_horizon_is_reported(kept: Kept, story: Story, expires_first: bool) -> None:  # noqa: FBT001
    """The nearer of the last settlement and the last expiry that were returned is as far as the schedule can see."""
    for second in (1, 3) if expires_first else (2, 4):
        story.bought("f-1", 10, at=day(-364, second))
    closed_jobs(story, *((2, 4) if expires_first else (1, 3)))
    await kept.keep(story)
    appointments, horizon = await kept.store.appointments(1, GRACE)
    assert [one.rank for one in appointments] == [EXPIRY if expires_first else SETTLEMENT]
    assert ([horizon], horizon.due_at) == (appointments, day(1, 1) + GRACE)


# Positions.


async def test_positions_are_read_back_and_move(kept: Kept, story: Story) -> None:
    one, other = TopicPartition("job-closed", 0), TopicPartition("job-closed", 12)
    first = Position(one, 0, 17, 16, 1_767_225_600_123, b"0123456789abcdef", datetime(2026, 1, 1, 0, 0, 0, 1, UTC))
    unread = Position(other, 0, 3, None, None, None, None)
    await kept.keep(story, [first, unread])
    assert await kept.store.positions() == {one: first, other: unread}
    recreated = Position(one, 1, 0, None, None, None, first.running_max)
    await kept.keep(story, [recreated])
    assert await kept.store.positions() == {one: recreated, other: unread}


async def test_a_position_set_back_shows_how_far_was_decided(kept: Kept, story: Story) -> None:
    for number in range(1, 6):
        story.registered(f"f-{number}")
    source = TopicPartition("freelancer-registered", 0)
    await kept.keep(story, [Position(source, 0, 5, 4, 0, b"", None)])
    assert await kept.store.decided_ahead() == {}
    await kept.keep(story, [Position(source, 0, 2, None, None, None, None)])
    assert await kept.store.decided_ahead() == {source: 4}
    assert await kept.store.decided_offsets(source, 0, 3, 99) == {3, 4}
    assert await kept.store.decided_offsets(source, 1, 0, 99) == set()
    await kept.keep(story, [Position(source, 1, 0, None, None, None, None)])
    assert await kept.store.decided_ahead() == {}


# What is on hold.


async def test_holds_are_read_back_changed_and_ended(kept: Kept, story: Story) -> None:
    topic, partition = place_of("job-closed", None), place_of("hire-made", 1)

    async def commanded(hold: Hold, ended: Sequence[TopicPartition] = ()) -> None:
        open_batch = OpenBatch(await kept.store.tail(), RECORDED_AT, kept.conditions, kept.last_decisions)
        seq = open_batch.next_seq
        command = Command(UUID(int=seq), "positions-hold", {}, hold.actor, hold.why)
        open_batch.add(command_decision(command, Answer("applied", "on-hold", {}), seq))
        open_batch.batch.holds.append(HoldRow(*hold.place, hold.lets_time_go_on, seq))
        open_batch.batch.holds_ended += ended
        await kept.commit(open_batch.finish(story.take_changed(), None))

    first = Hold(topic, lets_time_go_on=False, actor="ana", why="garbage", since=RECORDED_AT)
    other = Hold(partition, lets_time_go_on=True, actor="ben", why="too much", since=RECORDED_AT)
    await commanded(first)
    await commanded(other)
    assert await kept.store.holds() == {topic: first, partition: other}
    changed = first._replace(lets_time_go_on=True, why="go on")
    await commanded(changed, [partition])
    assert await kept.store.holds() == {topic: changed}


# Plans, and what they added.


async def test_plans_are_read_back_with_what_became_of_their_triggers(kept: Kept, story: Story) -> None:
    async def kept_with(replays: Sequence[ReplayRow], replayed: Sequence[ReplayedRow]) -> None:
        batch = await kept.open_batch(story)
        batch.replays += replays
        batch.replayed += replayed
        await kept.commit(batch)

    plan = ReplayRow("ab" * 32, '{"format":1}', 3, "ana", "lost", RECORDED_AT, "open", 7)
    named = ("connects-purchased", "e-1", F1, None, "hour.jsonl", 4)
    booked = ReplayedRow(plan.plan, 1, "add", "booked", "purchased", None, 8, *named)
    deviated = ReplayedRow(plan.plan, 2, "settle", "deviated", "other-amounts", "it would bring 3", None, *named)
    left_out = ReplayedRow(
        plan.plan, 3, "void", "left-out", "parked", None, None, "job-closed", "e-2", None, J1, "-", 9
    )
    await kept_with([plan], [booked, deviated])
    await kept_with([], [left_out])
    found = await kept.store.replay(plan.plan)
    assert found is not None
    assert found._replace(header=plan.header) == plan
    assert msgspec.json.decode(found.header) == {"format": 1}
    assert await kept.store.replayed(plan.plan, [1, 2, 4]) == {1: booked, 2: deviated}
    assert await kept.store.not_replayed(plan.plan, [F1], []) == [deviated]
    assert await kept.store.not_replayed(plan.plan, [], [J1]) == [left_out]
    assert await kept.store.not_replayed("cd" * 32, [F1], [J1]) == []
    assert await kept.store.replay("cd" * 32) is None
    await kept_with([plan._replace(state="closed", why="another")], [])
    found = await kept.store.replay(plan.plan)
    assert found is not None
    assert (found.state, found.why) == ("closed", "lost")


async def test_an_added_closure_and_what_waits_are_read_back_with_the_decision_that_added_them(
    kept: Kept, story: Story
) -> None:
    story.proposed("p-1", by="f-1", on="j-1", connects=2)
    seq = story.added("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client").seq
    story.added("boost-outbid", freelancer_id="f-1", job_id="j-9", proposal_id="p-9")
    billed = {"freelancer_id": "f-1", "charge_id": "f-1:2026-02-05:1", "outcome": "paid", "source": "a card"}
    story.added("membership-charge-settled", **billed)
    await kept.keep(story)
    (closure,) = (await kept.store.jobs([J1]))[J1].closures
    assert closure.cause == Cause("job-closed", closure.cause.event_id, added=seq)
    (awaited,) = await kept.store.awaiting([ProposalId("p-9")])
    assert awaited.cause == Cause("boost-outbid", awaited.cause.event_id, added=seq + 1)
    (held,) = await kept.store.held([F1])
    assert held.cause == Cause("membership-charge-settled", held.event.event_id, added=seq + 2)
    first = (await kept.store.first_decisions([seq]))[seq]
    assert (first.topic, first.incarnation, first.partition, first.offset) == ("job-closed", None, None, None)
    story.settled()
    batch = await kept.open_batch(story)
    key, settled = ParkedKey("wallet", "f-1"), next(one for one in story.decisions if one.kind == "settlement")
    batch.parked.append(ParkedRow(*key, settled.seq, "ValueError: a bug", day(0)))
    batch.parked_triggers.append(ParkedTriggerRow(settled.seq, *key))
    await kept.commit(batch)
    (waiting,) = await kept.store.parked_triggers(key)
    assert (waiting.kind, waiting.closure_job, waiting.closure_seq) == ("settlement", "j-1", seq)


# What is parked.


async def test_a_stopped_wallet_is_read_back_with_what_waits_behind_it(kept: Kept, story: Story) -> None:
    story.bought("f-1", 40, at=day(0))
    story.proposed("p-1", by="f-1", on="j-1", connects=2)
    story.closed("j-1")
    story.settled()
    (expiry,) = story.until(day(366))
    batch = await kept.open_batch(story)
    key = ParkedKey("wallet", "f-1")
    batch.parked.append(ParkedRow(*key, 1, "ValueError: a bug", day(0)))
    batch.parked_triggers += [
        ParkedTriggerRow(decision.seq, *key) for decision in story.decisions if decision.kind != "first"
    ]
    batch.parked_triggers.append(ParkedTriggerRow(2, *key))
    await kept.commit(batch)
    assert await kept.store.parked() == {key: {"expiry:f-1:1"}}
    waiting = await kept.store.parked_triggers(key)
    assert [(one.seq, one.kind) for one in waiting] == [(2, "first"), (4, "settlement"), (expiry.seq, "clock")]
    proposed, settled, expired = waiting
    assert (proposed.cause.topic, proposed.cause.offset, proposed.payload) == ("proposal-submitted", 0, b"{}")
    assert (settled.closure_job, settled.closure_seq, settled.proposal_id) == ("j-1", 3, "p-1")
    assert (expired.cause.event_id, expired.business_time) == ("expiry:f-1:1", day(365) + GRACE)
    assert await kept.store.count_parked_triggers(key) == 3
    assert await kept.store.parked_triggers(key, most=2) == waiting[:2]
    assert await kept.store.parked_triggers(key, after=2) == waiting[1:]
    assert await kept.store.parked_triggers(ParkedKey("job", "f-1")) == []


async def test_a_wallet_that_is_released_is_parked_no_more(kept: Kept, story: Story) -> None:
    story.registered("f-1")
    batch = await kept.open_batch(story)
    wallet, job = ParkedKey("wallet", "f-1"), ParkedKey("job", "f-1")
    for key in (wallet, job):
        batch.parked.append(ParkedRow(*key, 1, "ValueError: a bug", day(0)))
    batch.parked_triggers.append(ParkedTriggerRow(1, *wallet))
    await kept.commit(batch)
    assert await kept.store.parked() == {wallet: set(), job: set()}
    batch = await kept.open_batch(story)
    batch.unparked.append(wallet)
    batch.triggers_released.append(1)
    await kept.commit(batch)
    assert await kept.store.parked() == {job: set()}
    assert await kept.store.parked_triggers(wallet) == []


# Odd values survive.


async def test_instants_keep_their_microseconds(kept: Kept, story: Story) -> None:
    at = datetime(2026, 5, 1, 10, 20, 30, 123_457, UTC)
    story.registered("f-1", at=at)
    story.proposed("p-1", by="f-1", on="j-1", connects=2, at=at + timedelta(microseconds=1))
    await kept.keep(story)
    assert plain(await wallet_of(kept, "f-1")) == plain(story.wallet("f-1"))
    assert plain(await spend_of(kept, "p-1")) == plain(story.spend("p-1"))


async def test_ids_may_have_every_character_the_contract_allows(kept: Kept, story: Story) -> None:
    name = "A-z.0_9:" * 8
    story.registered(name)
    story.proposed(name, by=name, on=name, connects=2)
    story.earned_badge(name)
    story.closed(name)
    await kept.keep(story)
    assert plain(await wallet_of(kept, name)) == plain(story.wallet(name))
    assert plain(await spend_of(kept, name)) == plain(story.spend(name))
    assert len(await kept.store.grants([("grant.badge", f"{name}/rising-talent")])) == 1
    assert (await kept.store.jobs([JobId(name)]))[JobId(name)].proposal_ids == [name]


@pytest.mark.parametrize("count", [1, 500])
async def test_many_are_read_together(kept: Kept, story: Story, count: int) -> None:
    for number in range(count):
        story.bought(f"f-{number}", 1)
    await kept.keep(story)
    ids: Callable[[int], FreelancerId] = lambda number: FreelancerId(f"f-{number}")  # noqa: E731
    assert len(await kept.store.wallets([ids(number) for number in range(count + 5)], None)) == count
