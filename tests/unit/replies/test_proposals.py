"""Replies about a proposal that the recorded ones do not show: taken back, soon to end, late, or not decided yet."""

from datetime import datetime, timedelta
from typing import Any

from tests.kit.deciding import GRACE, deciding
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies, policy_text
from tests.kit.story import day
from tests.kit.telling import Row, event, read_rows
from worker.ledger.memory_store import MemoryStore
from worker.queries.questions import Grounds, answered
from worker.replies.known import Asked
from worker.replies.reply import Reply

HIRE = {"freelancer_id": "f-9", "contract_id": "k-1", "job_id": "j-1"}


def registered(at: datetime, who: str = "f-1") -> Row:
    return event("freelancer-registered", at, freelancer_id=who)


def proposed(at: datetime, connects: int, number: int = 1, **more: Any) -> Row:  # noqa: ANN401
    ids = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": f"p-{number}"}
    return event("proposal-submitted", at, origin="proposal", connects=connects, **ids | more)


def closed(at: datetime, closure: str = "closed-by-client") -> Row:
    return event("job-closed", at, job_id="j-1", client_id="c-1", closure=closure)


class Told:
    """A ledger that was told these events in order, with what is due done up to an instant."""

    def __init__(self, *rows: Row, until: datetime, grace: timedelta = GRACE, **policy: object) -> None:
        self.rows, self.until, self.grace = rows, until, grace
        self.policies = policies(policy_text(**policy))

    async def reply(self, asked: Asked, key: str) -> Reply:
        store = MemoryStore()
        async with deciding(store, self.policies) as decides:
            for number, row in enumerate(self.rows):
                await decides.until(row["business_time"])
                await decides.decide(read_rows([row], first=number))
            await decides.until(self.until)
        grounds = Grounds(self.policies, GRACE.total_seconds(), self.until)
        return (await answered(connection_to(store), asked, key, grounds)).reply


async def test_what_was_taken_back_after_a_late_hire_is_not_called_back() -> None:
    hire = event("hire-made", day(1.25), read_at=day(3), **HIRE)
    rows = (registered(day(0)), proposed(day(1), 5), proposed(day(1), 6, 2), closed(day(2)), hire)
    told = Told(*rows, until=day(4), late_hire="claw-back")
    reply = await told.reply("proposal", "p-1")
    assert (reply.verdict, reply.numbers) == (
        "no",
        {"spent": 5, "back": 0, "kept": 5, "open": 0, "base": 5, "boost": 0},
    )
    assert reply.reply == (
        "No: the 5 Connects for j-1 were taken back on 8 January 2026.\n"
        "They had come back on 7 January 2026, but somebody had been hired on 6 January 2026, before the job was "
        "closed. That became known only later.\n"
        "Nothing about this job will change that. You have 29 Connects now."
    )
    assert (await told.reply("job", "j-1")).numbers == {"proposals": 2, "spent": 11, "back": 0, "kept": 11, "open": 0}


async def test_what_came_back_before_a_late_hire_stays_and_the_agent_reads_why() -> None:
    hire = event("hire-made", day(1.25), read_at=day(3), **HIRE)
    told = Told(registered(day(0)), proposed(day(1), 5), closed(day(2)), hire, until=day(4))
    reply = await told.reply("proposal", "p-1")
    assert reply.headline == "Yes: all 5 Connects for j-1 came back on 7 January 2026, and they stay."
    assert "hired" not in reply.reply.partition("without hiring")[2]
    assert any("became known only after" in line for line in reply.agent_only)


async def test_connects_that_would_have_expired_soon_last_longer_and_the_reply_says_until_when() -> None:
    told = Told(registered(day(0)), proposed(day(350), 5), closed(day(360)), until=day(361))
    reply = await told.reply("proposal", "p-1")
    assert "All of them would have expired soon; they now last until " in reply.reply
    rows = (registered(day(0)), proposed(day(350), 5), closed(day(360)))
    kept = Told(*rows, until=day(361), refund_to_ending_lot="expire")
    assert "the expiry date they had, 5 January 2027." in (await kept.reply("proposal", "p-1")).reply


async def test_an_end_that_is_known_and_not_decided_is_said_with_what_it_brings() -> None:
    told = Told(registered(day(0)), proposed(day(1), 12), closed(day(2)), until=day(2))
    reply = await told.reply("proposal", "p-1")
    assert reply.verdict == "not-yet"
    assert reply.reply == (
        "Not yet: j-1 was closed by the client on 7 January 2026, and your 12 Connects are decided within 30 seconds "
        "or so.\nYou applied on 6 January 2026.\nYou should get all 12 back."
    )
    assert [(one.what, one.connects) for one in reply.next] == [("settlement", 12)]
    hired = event("hire-made", day(1.25), **HIRE)
    for more, last in (
        ([hired, closed(day(2))], "Somebody was hired on 6 January 2026, so nothing comes back."),
        ([closed(day(2), "expired")], "A job that expires returns nothing."),
    ):
        told = Told(registered(day(0)), proposed(day(1), 12), *more, until=day(2))
        assert (await told.reply("proposal", "p-1")).reply.endswith(last)


async def test_a_job_that_is_reopened_and_closed_again_turns_a_no_into_a_yes() -> None:
    rows = (registered(day(0)), proposed(day(1), 12), closed(day(2), "expired"))
    assert (await Told(*rows, until=day(3)).reply("proposal", "p-1")).verdict == "no"
    reply = await Told(*rows, closed(day(5)), until=day(6)).reply("proposal", "p-1")
    assert reply.headline == "Yes: all 12 Connects for j-1 came back on 10 January 2026."


async def test_a_hire_by_another_and_ones_own_are_told_apart() -> None:
    rows = (registered(day(0)), proposed(day(1), 12), event("hire-made", day(2), **HIRE | {"freelancer_id": "f-1"}))
    reply = await Told(*rows, until=day(3)).reply("proposal", "p-1")
    assert reply.headline == "No: the 12 Connects for j-1 will not come back, because you were hired on 7 January 2026."


async def test_one_connect_is_one() -> None:
    told = Told(registered(day(0)), proposed(day(1), 1), until=day(2))
    assert "the 1 comes back" in (await told.reply("proposal", "p-1")).reply
    told = Told(registered(day(0)), proposed(day(1), 1), closed(day(2)), until=day(3))
    reply = await told.reply("proposal", "p-1")
    assert reply.reply.startswith("Yes: the 1 Connect for j-1 came back on 7 January 2026.")
    assert reply.reply.endswith("It keeps the expiry date it had, 5 January 2027.")


async def test_a_proposal_that_was_not_booked_says_what_it_needed() -> None:
    told = Told(registered(day(0)), proposed(day(1), 53), until=day(2), overdraft="decline")
    reply = await told.reply("proposal", "p-1")
    assert reply.headline == "No: your proposal for j-1 of 6 January 2026 needs 53 Connects, and you had 40."
    assert "p-1" in (await told.reply("event", "p-1")).headline


async def test_a_closing_asked_by_its_event_answers_for_the_job() -> None:
    other = proposed(day(1), 3, 2, freelancer_id="f-2")
    told = Told(
        registered(day(0)), registered(day(0), "f-2"), proposed(day(1), 12), other, closed(day(2)), until=day(3)
    )
    reply = await told.reply("event", "e-4")
    assert reply.headline == "All 15 Connects on the 2 proposals for j-1 came back on 7 January 2026."
    assert reply.reply == ""
    assert any("f-2 3, back" in line for line in reply.agent_only)


async def test_an_id_of_nothing_says_what_was_looked_for_and_what_to_ask_next() -> None:
    told = Told(registered(day(0)), proposed(day(1), 12), until=day(2))
    reply = await told.reply("proposal", "p-404")
    assert reply.verdict == "unknown"
    assert reply.reply == (
        "We have nothing on record about the proposal p-404.\n"
        "We looked for the proposal p-404. Everything up to 7 January 2026 is read.\n"
        "Ask about the freelancer, to see all of theirs: connects explain --freelancer ID."
    )
    assert (await told.reply("proposal", "j-1")).headline == "j-1 is a job: ask with connects explain --job j-1."
    assert "f-1 is a freelancer" in (await told.reply("event", "f-1")).headline


async def test_a_job_that_returned_nothing_for_several_reasons_is_a_no() -> None:
    rows = (
        registered(day(0)),
        registered(day(0), "f-2"),
        proposed(day(1), 5),
        proposed(day(1), 6, 2, freelancer_id="f-2"),
    )
    withdrawn = event("proposal-withdrawn", day(2), freelancer_id="f-1", job_id="j-1", proposal_id="p-1")
    told = Told(*rows, withdrawn, event("hire-made", day(3), **HIRE), closed(day(4)), until=day(5))
    reply = await told.reply("job", "j-1")
    assert (reply.verdict, reply.headline) == ("no", "None of the 11 Connects on the 2 proposals for j-1 came back.")
    assert reply.agent_only[:2] == [
        "The proposals were sent on 6 January 2026.",
        "Each proposal is judged by itself; ask about one of them to see why.",
    ]
