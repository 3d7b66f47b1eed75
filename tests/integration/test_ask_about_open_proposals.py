"""What `explain` says about Connects on a job that is still open: which endings return them, and which do not."""

from tests.kit import replaying, voiding
from tests.kit.deciding import Deciding, deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, bought, leading, proposed
from tests.kit.story import day
from tests.property.test_writer_found_before import Timeline
from worker.ledger.memory_store import MemoryStore
from worker.queries.asking import snapshot
from worker.queries.explain import explain_proposal
from worker.queries.explained import OpenSpend
from worker.queries.wallets import wallet_of

BOOST = "Being outbid returns the 3 Connects of its boost, but only before the client does anything with the proposal."


async def test_a_boost_and_a_known_hire_are_part_of_the_answer_as_long_as_they_matter(database_url: str) -> None:
    timeline = Timeline()

    def proposed(proposal_id: str, job_id: str) -> object:
        about = {"freelancer_id": "f-1", "job_id": job_id, "proposal_id": proposal_id, "origin": "proposal"}
        return timeline.event("proposal-submitted", day(1), **about, connects=9, boost_connects=3)

    outbid = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-2"}
    hired = {"freelancer_id": "f-2", "contract_id": "c-1", "job_id": "j-3"}
    async with deciding(database_url, policies()) as decides:
        records = [timeline.registered(day(0), "f-1"), proposed("p-1", "j-1"), proposed("p-2", "j-1")]
        records += [proposed("p-3", "j-3"), timeline.event("boost-outbid", day(1.5), **outbid)]
        await decides.decide([*records, timeline.event("hire-made", day(2), **hired)])
        await decides.commit()

    async def open_spend(proposal_id: str) -> OpenSpend:
        async with snapshot(database_url) as connection:
            (spend,) = (await explain_proposal(connection, proposal_id)).open or []
            return spend

    boosted, outbid_already, on_a_job_with_a_hire = [await open_spend(name) for name in ("p-1", "p-2", "p-3")]
    assert boosted.explanation.endswith(
        "or when the marketplace removes it before anyone is hired. They do not come back when somebody is hired "
        f"before that, when the job expires, or when the proposal is withdrawn before that. {BOOST}"
    )
    assert (outbid_already.connects, "boost" in outbid_already.explanation) == (9, False)
    assert on_a_job_with_a_hire.explanation.endswith(
        f"Somebody was hired for it on 7 January 2026, and a closing after that returns nothing. {BOOST}"
    )


async def test_a_proposal_that_was_voided_and_submitted_again_is_open_once(database_url: str) -> None:
    async def before(decides: Deciding) -> Came:
        came = Came(decides)
        await came(*(bought(name, f"b-{name}", 20) for name in ("f-1", "f-2")))
        await came(proposed("f-1", "p-1", "j-1", 6), proposed("f-1", "p-2", "j-2", 6))
        return came

    def again(proposal: str, name: str, connects: int) -> replaying.Event:
        topic, fields = proposed(name, proposal, f"j-{proposal[2:]}", connects)
        return topic, {**fields, "event_id": f"again-{proposal}"}

    book, store = policies(), MemoryStore()
    async with leading(store, book) as decides:
        await before(decides)
        planned = await voiding.plan(store, book, voiding.seqs_of(store, "s-p-1", "s-p-2"))
    async with deciding(database_url, book) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        came = await before(decides)
        assert (await replaying.apply(decides, book, planned.triggers)).told["booked"] == 2
        await came(again("p-1", "f-1", 4), again("p-2", "f-2", 5))
    async with snapshot(database_url) as connection:
        wallets = [await wallet_of(connection, name, book) for name in ("f-1", "f-2")]
    undecided = [[(row["proposal_id"], row["connects"]) for row in one.undecided] for one in wallets if one is not None]
    assert undecided == [[("p-1", 4)], [("p-2", 5)]]
