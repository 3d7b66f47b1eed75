"""Facts of one job, or one proposal, and registrations that are voided, undone and voided again, by every store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.contract.conftest import Place
from tests.kit.correcting import boosted, day, outbid, sent_as, withdrawn
from tests.kit.decided import asking
from tests.kit.deciding import GRACE, SKEW, Deciding, deciding
from tests.kit.memory_connection import connection_to
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from tests.kit.replaying import Came, Event, apply, bought, closed, event, proposed, registered
from tests.kit.voiding import READER
from worker.ledger.connections import Connection
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.queries.asking import connected
from worker.queries.questions import Grounds, answered
from worker.repair.candidates import Candidates
from worker.repair.decision_selection import DecisionSelection
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.planning_undos import Booked
from worker.repair.snapshot import PostgresSnapshot, Snapshot
from worker.repair.undoing import LATER_STANDS

BOOK = policies()
FIRST, SECOND, THIRD, FOURTH, FIFTH = ("ab" * 32, "cd" * 32, "de" * 32, "ef" * 32, "fa" * 32)


def hired(at: str) -> Event:
    return event("hire-made", "h-1", at, job_id="j-1", freelancer_id="f-9", contract_id="k-1")


class Plans:
    """Makes plans over a snapshot of a ledger, and applies them."""

    def __init__(self, decides: Deciding, place: Place) -> None:
        self._decides, self._url = decides, place.url
        self.balance = 0

    @asynccontextmanager
    async def _rows(self) -> AsyncIterator[Snapshot]:
        store = self._decides.store
        if isinstance(store, MemoryStore):
            yield MemorySnapshot(store)
            return
        async with connected(self._url) as connection:
            rows = PostgresSnapshot(connection)
            await rows.begin()
            yield rows

    async def _made(self, rows: Snapshot, **how: Any) -> Planned:  # noqa: ANN401
        overlay = Overlay(rows)
        await overlay.open()
        ground = Ground(BOOK, GRACE, SKEW, READER, Progress(), datetime.now(UTC))
        return await plan_all(overlay, Candidates(rows, READER, Progress()), ground, **how)

    async def _applied(self, planned: Planned, name: str) -> Planned:
        if planned.triggers:
            answer = await apply(self._decides, BOOK, planned.triggers, name)
            assert answer.told.get("booked") == len(planned.triggers), answer
        return planned

    async def void(self, event_id: str, name: str) -> Planned:
        decided = [row for committed in self._decides.committed for row in committed.batch.decisions]
        seq = next(row.seq for row in decided if row.event_id == event_id)
        async with self._rows() as rows:
            selection = DecisionSelection(rows, UUID(int=0))
            await selection.add_seqs("a test", [seq])
            planned = await self._made(rows, selection=selection)
        return await self._applied(planned, name)

    async def undo(self, undoes: str, name: str) -> Planned:
        async with self._rows() as rows:
            planned = await self._made(rows, booked=Booked(undoes, await rows.booked(undoes)))
        return await self._applied(planned, name)


def brought(planned: Planned) -> int:
    return sum(trigger.expected.wallets.get("f-1", 0) for trigger in planned.triggers)


async def test_voids_of_one_job_in_turn(for_a_writer: str | MemoryStore, place: Place, tmp_path: Path) -> None:
    async with deciding(for_a_writer, BOOK) as decides:
        decides.add_policies()
        came, plans = Came(decides), Plans(decides, place)
        await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), hired("2026-03-03T11:00:00Z"), closed("j-1"))
        await decides.until(day("2026-03-10"))
        assert brought(await plans.void("h-1", FIRST)) == 6
        assert brought(await plans.void("c-j-1", SECOND)) == -6
        refused = await plans.undo(FIRST, THIRD)
        assert (refused.triggers, refused.summary.left_for_a_person[0].what) == ([], LATER_STANDS.what)
        assert brought(await plans.undo(SECOND, THIRD)) == 6
        assert brought(await plans.undo(FIRST, FOURTH)) == -6
        assert brought(await plans.void("h-1", FIFTH)) == 6
        topic, fields = closed("j-1")
        assert brought(await plans.void("c-j-1", "fb" * 32)) == -6
        await came((topic, {**fields, "event_id": "c-right"}))
        await decides.until(day("2026-03-12"))
        last = [change for committed in decides.committed for change in committed.batch.changes][-1]
        assert (last.reason, last.balance_after) == ("closed-without-hire", 10)
    await verify_finds_nothing(place, tmp_path)


async def verify_finds_nothing(place: Place, folder: Path) -> None:
    if place.url:
        whole = await asking(place.url, folder)("verify --json")
        # The commands of this test were asked for by nobody: there are no rows of them.
        assert {finding["table"] for finding in whole.json["findings"]} == {"commands", "replays"}, whole
        assert (await asking(place.url, folder)("verify --freelancer f-1")).code == 0


async def test_voids_of_what_names_a_proposal_in_turn(
    for_a_writer: str | MemoryStore, place: Place, tmp_path: Path
) -> None:
    async with deciding(for_a_writer, BOOK) as decides:
        decides.add_policies()
        came, plans = Came(decides), Plans(decides, place)
        withdrawal = withdrawn("f-1", "p-1")
        await came(bought("f-1", "b-1", 20), outbid("f-1", "p-2", "j-2"))
        await came(boosted("f-1", "p-1", 4, 2), withdrawal, outbid("f-1", "p-1"), closed("j-1"))
        await decides.until(day("2026-03-10"))
        assert brought(await plans.void("o-p-1", FIRST)) == -2
        assert brought(await plans.void(withdrawal[1]["event_id"], SECOND)) == 6
        refused = await plans.undo(FIRST, THIRD)
        assert {one.what for one in refused.summary.left_for_a_person} == {LATER_STANDS.what}
        assert brought(await plans.undo(SECOND, THIRD)) == -6
        assert brought(await plans.undo(FIRST, FOURTH)) == 2
        assert brought(await plans.void("o-p-2", FIFTH)) == 0, "it waits for its proposal"
        await plans.undo(FIFTH, "fb" * 32)
        await came(boosted("f-1", "p-2", 4, 2, "j-2"))
        last = [change for committed in decides.committed for change in committed.batch.changes][-1]
        assert (last.reason, last.balance_after) == ("boost-outbid", 12)
    await verify_finds_nothing(place, tmp_path)


async def test_voids_of_registrations_in_turn(for_a_writer: str | MemoryStore, place: Place, tmp_path: Path) -> None:
    async with deciding(for_a_writer, BOOK) as decides:
        decides.add_policies()
        came, plans = Came(decides), Plans(decides, place)
        await came(registered("f-1"), registered("f-2"), registered("f-3"), proposed("f-1", "p-1"))
        assert brought(await plans.void("r-f-1", FIRST)) == -40
        assert brought(await plans.undo(FIRST, SECOND)) == 40
        assert brought(await plans.void("r-f-1", THIRD)) == -40
        await plans.void("r-f-2", FOURTH)
        await plans.void("r-f-3", FIFTH)
        await decides.restart()
        await came(sent_as(registered("f-1"), "r-right"))
        await decides.until(day("2026-04-03"))
        await plans.undo(FIFTH, "fb" * 32)
        await decides.until(day("2026-04-04"))
        changes = [change for committed in decides.committed for change in committed.batch.changes]
        balances = {change.freelancer_id: change.balance_after for change in changes}
        assert balances == {"f-1": 44, "f-2": 0, "f-3": 50}
    await verify_finds_nothing(place, tmp_path)


async def test_what_is_said_of_a_proposal_whose_closing_was_voided(
    for_a_writer: str | MemoryStore, place: Place
) -> None:
    """Its job is open again: what a closing decided that never was is no reason any more."""
    async with deciding(for_a_writer, BOOK) as decides:
        decides.add_policies()
        came, plans = Came(decides), Plans(decides, place)
        topic, fields = closed("j-1")
        await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), (topic, {**fields, "closure": "expired"}))
        await came(proposed("f-1", "p-2", "j-2", 3), closed("j-2"))
        await decides.until(day("2026-03-10"))
        await plans.void("c-j-1", FIRST)
        await plans.void("c-j-2", SECOND)
        if isinstance(decides.store, MemoryStore):
            await _are_open(connection_to(decides.store))
            return
    async with connected(place.url) as connection:
        await _are_open(connection)


async def _are_open(connection: Connection) -> None:
    grounds = Grounds(BOOK, GRACE.total_seconds(), day("2026-03-10"))
    for proposal_id, connects in (("p-1", 6), ("p-2", 3)):
        reply = (await answered(connection, "proposal", proposal_id, grounds)).reply
        assert (reply.verdict, reply.numbers["open"]) == ("not-yet", connects), reply
