"""What a standing answer says of a person first: the last word on what happened to them, corrections included."""

from typing import Any

import pytest

from tests.golden.reply_stories import applies, closes, decide_events, in_order, registers
from tests.golden.ticket_stories import NOW, on_plus
from tests.kit.deciding import as_read, deciding
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies, policy_text
from tests.kit.replaying import Came, bought, leading, proposed
from tests.kit.voiding import void
from worker.ledger.memory_store import MemoryStore
from worker.queries import answers, questions
from worker.queries.answers import asking_of
from worker.queries.explain import explain_freelancer
from worker.queries.questions import Grounds
from worker.queries.wallets import upcoming_reply, wallet_of
from worker.replies import theirs
from worker.replies.answers import answer_about
from worker.replies.known import Asked
from worker.replies.reply import Reply

BOOK = policies()


async def answered(store: MemoryStore, topic: str, who: str = "f-1") -> Reply:
    asking = await asking_of(connection_to(store), who, BOOK, topic)
    assert asking is not None
    return answer_about(topic, asking)


async def test_a_purchase_that_was_voided_is_not_told_as_one_that_came_in() -> None:
    store = MemoryStore()
    async with leading(store, BOOK) as decides:
        await Came(decides)(bought("f-1", "b-1", 10))
        assert (await answered(store, "buying")).headline.startswith("Yes: the 10 Connects you bought came in on ")
        await void(decides, BOOK, "e-b-1")
    reply = await answered(store, "buying")
    assert "bought came in" not in reply.headline
    assert "10" in reply.headline


async def test_what_came_in_below_zero_says_what_it_paid_for() -> None:
    store = MemoryStore()
    async with leading(store, BOOK) as decides:
        came = Came(decides)
        await came(proposed("f-1", "p-1", connects=6))
        await came(bought("f-1", "b-1", 10))
    for topic in ("buying", "overdrawn"):
        assert "6 of them paid for earlier proposals" in (await answered(store, topic)).reply


@pytest.mark.parametrize("topic", ["buying", "interviews", "expiry", "boosts", "suspension", "promo", "overdrawn"])
async def test_what_never_happened_to_somebody_is_not_told(topic: str) -> None:
    store = MemoryStore()
    await decide_events(store, [registers("11-03", "new")], NOW)
    reply = await answered(store, topic, "new")
    assert reply.verdict == "info"
    assert not reply.headline.startswith(("Yes", "No", "Not yet"))


async def test_a_late_start_is_told_before_and_after_its_renewal() -> None:
    store = MemoryStore()
    await decide_events(store, [registers("11-03", "new"), *on_plus("new", "11-29")], NOW)
    reply = await answered(store, "month-end", "new")
    assert reply.headline == (
        "Your cycle of 29 November 2026 is renewed on 1 December 2026, and your day is the 1st from then on."
    )


async def test_of_very_many_proposals_the_last_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_PROPOSALS", 3)
    store = MemoryStore()
    sent = [applies(f"11-{number + 10}", "new", f"{number}", 2) for number in range(5)]
    await decide_events(store, [registers("11-03", "new"), *sent, closes("11-20", "3")], NOW)
    told = (await answered(store, "several", "new")).headline
    assert told == "Partly: of the 6 Connects on your last 3 proposals, 2 came back and 4 are still undecided."
    told = (await answered(store, "silence", "new")).headline
    assert told == "Not yet: the 4 Connects on your last 2 open proposals are still undecided."


async def test_a_proposal_that_was_voided_and_is_anothers_now_is_not_told_as_ones_own() -> None:
    store = MemoryStore()
    async with leading(store, BOOK) as decides:
        came = Came(decides)
        await came(bought("f-1", "b-1", 10), bought("f-2", "b-2", 10), proposed("f-1", "p-1", connects=6))
        await void(decides, BOOK, "s-p-1")
        topic, fields = proposed("f-2", "p-1", connects=4)
        again = [(topic, {**fields, "event_id": f"again-{number}"}) for number in range(2)]
        await came(*again)
    assert "p-1" not in str(await answered(store, "charged-twice", "f-1"))
    for topic in ("several", "silence"):
        assert "4" in (await answered(store, topic, "f-2")).headline
        assert (await answered(store, topic, "f-1")).verdict == "info"
    connection = connection_to(store)
    explained, _ = await explain_freelancer(connection, "f-1", BOOK, NOW)
    assert explained.open == []
    of = {name: await wallet_of(connection, name, BOOK) for name in ("f-1", "f-2")}
    assert {name: wallet and len(wallet.undecided) for name, wallet in of.items()} == {"f-1": 0, "f-2": 1}


async def test_what_expired_of_very_many_is_not_told_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    bought_long_ago = [("2025-11-05", "connects-purchased", purchase(number)) for number in range(3)]
    await decide_events(store, bought_long_ago, NOW)
    assert "lost 6 Connects on 5 November 2026" in (await answered(store, "expiry", "new")).headline
    for module in (answers, theirs):
        monkeypatch.setattr(module, "MOST_DECISIONS", 2)
    assert "lost" not in (await answered(store, "expiry", "new")).reply


async def test_what_expired_is_not_told_in_part_where_corrections_are_among_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    bought_long_ago = [("2025-11-05", "connects-purchased", purchase(number)) for number in range(3)]
    later = ("2026-11-06", "connects-purchased", {"event_id": "wrong", **purchase(3)})
    await decide_events(store, [*bought_long_ago, later], NOW)
    async with deciding(store, BOOK) as decides:
        await void(decides, BOOK, "wrong")
    for module in (answers, theirs):
        monkeypatch.setattr(module, "MOST_DECISIONS", 3)
    assert "lost" not in (await answered(store, "expiry", "new")).reply, "two of the three were read"


async def test_what_expires_on_one_day_is_told_together_and_the_soonest_first() -> None:
    store = MemoryStore()
    soon = [("2025-12-10", "connects-purchased", purchase(number)) for number in range(2)]
    await decide_events(store, [*soon, registers("11-24", "new")], NOW)
    for reply in (await answered(store, "expiry", "new"), await upcoming_reply(connection_to(store), "new", BOOK)):
        assert reply is not None
        told = [(ahead.what, str(ahead.on), ahead.connects) for ahead in reply.next]
        assert told == [("expiry", "2026-12-10", -4), ("monthly", "2026-12-24", 10)]
    gone = ("2025-11-05", "connects-purchased", purchase(2))
    store = MemoryStore()
    await decide_events(store, [gone, *soon], NOW)
    expired = await explained(store, "event", "expiry:new:1")
    assert expired.reply.count("Next to expire: 4 on 10 December 2026, unless you use them first.") == 1
    assert [(ahead.what, ahead.connects) for ahead in expired.next] == [("expiry", -4)]


async def test_what_is_undecided_has_something_that_comes() -> None:
    store = MemoryStore()
    await decide_events(store, [applies("11-20", "agency", "1", 2)], NOW)
    reply = await answered(store, "silence", "agency")
    assert reply.verdict == "not-yet"
    assert [(ahead.what, ahead.connects) for ahead in reply.next][:2] == [("client-closes", 2), ("removed", 2)]


async def test_the_balance_is_a_number_of_the_answers_that_say_it() -> None:
    store = MemoryStore()
    await decide_events(store, [registers("11-03", "new")], NOW)
    assert (await answered(store, "transfer", "new")).numbers == {"balance": 40}
    assert (await answered(store, "cash", "new")).numbers == {}


async def test_a_grant_that_paid_for_earlier_proposals_alone_has_no_day_to_use_it_by() -> None:
    store = MemoryStore()
    badge = ("2026-11-22", "badge-earned", {"event_id": "badge", "freelancer_id": "new", "badge": "rising-talent"})
    await decide_events(store, [applies("11-20", "new", "1", 30), badge], NOW)
    reply = (await explained(store, "event", "badge")).reply
    assert reply.startswith("Yes: you got 30 Connects for your rising-talent badge, on 22 November 2026.")
    assert "30 of them paid for earlier proposals" in reply
    assert "by" not in reply


async def test_an_id_of_several_topics_is_told_of_one_and_the_agent_is_told_so() -> None:
    store = MemoryStore()
    badge = {"event_id": "same", "freelancer_id": "new", "badge": "rising-talent"}
    bought = {**purchase(1), "event_id": "same"}
    await decide_events(
        store, [("2026-11-20", "badge-earned", badge), ("2026-11-21", "connects-purchased", bought)], NOW
    )
    told = await explained(store, "event", "same")
    assert told.agent_only[-1] == (
        "badge-earned and connects-purchased each have a message same, and this is about one of them: connects explain "
        "same --topic TOPIC tells of another"
    )
    narrowed = (
        await questions.answered(connection_to(store), "event", "same", Grounds(BOOK, 30, NOW), topic="badge-earned")
    ).reply
    assert narrowed.headline.startswith("Yes: you got 30 Connects")
    assert len(narrowed.agent_only) == 1


async def test_a_job_with_a_proposal_that_was_declined_is_not_said_to_have_none() -> None:
    """It reached us; it only took nothing."""
    store = MemoryStore()
    sent = [applies("11-20", "new", "1", 100), closes("11-21", "1")]
    async with deciding(store, policies(policy_text(overdraft="decline"))) as decides:
        await decides.decide(as_read(in_order(sent)))
        await decides.until(NOW)
    for asked, key in (("job", "job-1"), ("event", "e-2")):
        told = await explained(store, asked, key)
        assert told.headline.startswith("Nothing to return: nobody has spent Connects on job-1"), asked
        assert "If you sent one, it took none, or it has not reached us." in told.reply


async def test_what_was_taken_back_for_its_closing_was_voided_leaves_the_sum_of_all_as_it_is() -> None:
    store = MemoryStore()
    sent = [applies("11-08", "new", "1", 5), applies("11-09", "new", "2", 7)]
    when, topic, fields = closes("11-12", "1")
    ended = [(when, topic, {**fields, "event_id": "wrong"}), closes("11-14", "1", "expired")]
    await decide_events(store, [registers("11-03", "new"), *sent, *ended], NOW)
    async with deciding(store, BOOK) as decides:
        await void(decides, BOOK, "wrong")
    reply = await explained(store, "freelancer", "new")
    assert reply.numbers.items() >= {"spent": 12, "back": 0, "kept": 5, "open": 7}.items()
    assert "did not come back, because what had come back by mistake was taken back on " in reply.reply


async def explained(store: MemoryStore, asked: Asked, key: str, topic: str | None = None) -> Reply:
    return (await questions.answered(connection_to(store), asked, key, Grounds(BOOK, 30, NOW), topic=topic)).reply


def purchase(number: int) -> dict[str, Any]:
    return {"freelancer_id": "new", "purchase_id": f"b-{number}", "connects": 2}
