"""Loading what the next triggers ask about, and forgetting what nobody asked about for long."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

from worker.domain.booking import find_lot
from worker.domain.model import BurnOrder, ChargeKey, FreelancerId, JobId, LotId, ProposalId, Spend, Wallet
from worker.domain.policy import PolicyBook
from worker.domain.rules.undone import ToUndo
from worker.domain.rules.voids import ToVoid
from worker.domain.state import Changed, State
from worker.engine.loading.first_decisions import FirstDecisions
from worker.engine.loading.needs import Needs, ask_for_answered, ask_for_pending
from worker.futures import consume_exception, in_turns
from worker.kafka.records import InputRecord
from worker.ledger.store import Appointment, Store

MOST_WALLETS: Final = 30_000
MOST_JOBS: Final = 20_000
MOST_SPENDS: Final = 30_000
MOST_GRANTS: Final = 20_000
MOST_MEMBERSHIPS: Final = 30_000
MOST_CHARGES: Final = 20_000
AT_ONCE: Final = 500
"""How many spends of a job are settled in one go, and loaded ahead before it begins."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Cache:
    """Keeps `state` holding what is about to be needed. What is absent then stays so until the writer adds it."""

    def __init__(self, store: Store, state: State, policies: PolicyBook) -> None:
        self._store = store
        self._claws_back = any(policy.late_hire == "claw-back" for policy in policies.versions)
        self.state = state
        self._left = (0, 0, 0, 0)
        """How many wallets, spends, jobs and memberships were left when there last was too much."""
        self.forgotten = 0
        """How often anything was forgotten: whoever prepared something before has to prepare it again."""
        self.in_flight = Changed()
        """What the batch that was cut last writes, of which the ledger may know nothing yet."""
        self.committed_through = 0
        """The last decision that is in the ledger for sure."""
        self.last_decisions: dict[FreelancerId, int] = {}
        """The last decision that names each freelancer whose wallet is in memory, or known not to exist; 0 for none."""
        self.first_decisions = FirstDecisions(store)
        self._begun: list[asyncio.Task[None]] = []
        """The loads that go on beside the deciding of what was loaded before."""
        self._under_way: dict[asyncio.Task[None], Needs] = {}
        """What the ledger is being asked about."""
        self._lots = asyncio.Lock()
        """Held by whoever adds lots to wallets that are in memory."""

    def begin(self, load: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Let a load go on beside the deciding of what was loaded before; whoever needs it waits for the task.

        What comes in never takes the place of what is in memory, which may have changed since; so that this is enough,
        nothing is forgotten before `loaded`.
        """
        task = asyncio.create_task(load)
        self._begun = [earlier for earlier in self._begun if not earlier.done()]
        self._begun.append(task)
        consume_exception(task)
        return task

    def abandon(self) -> None:
        """Let go of what is being loaded: this memory is not used any more."""
        for task in (*self._begun, *self._under_way):
            task.cancel()

    async def loaded(self) -> None:
        """Wait until all that was begun is there; before anything is forgotten. Not for loads themselves.

        Raises:
            Transient: the database is away.
        """
        # Only tasks that are not done: since Python 3.12 `gather` over done ones does not give the event loop a turn.
        while pending := [task for task in self._begun if not task.done()]:
            await asyncio.gather(*pending)

    async def make_room(self) -> None:
        """Forget what there is no room for any more. Not for loads themselves.

        Raises:
            Transient: the database is away.
        """
        if self._has_too_much:
            await self.loaded()
            self.forget()

    async def prepare(
        self, records: Sequence[InputRecord], due: Iterable[Appointment], business_time: datetime | None
    ) -> None:
        """Load what these records and this clock work ask about."""
        wanted = Needs()
        for record in records:
            if record.event is not None:
                wanted.ask_for_event(record.source.topic, record.event.__dict__)
        wanted.ask_for_clock_work(due)
        await asyncio.gather(self.first_decisions.load(records), self._load(wanted, business_time, MOST_SPENDS // 2))

    async def prepare_due(self, due: Iterable[Appointment], business_time: datetime | None) -> None:
        """Load what this clock work asks about: of all its closures together no more spends than of one."""
        wanted = Needs()
        wanted.ask_for_clock_work(due)
        await self._load(wanted, business_time, AT_ONCE)

    async def load_jobs(self, ids: Iterable[JobId]) -> None:
        """Have these jobs in memory, with everything that was spent on them listed."""
        await self._have(Needs(jobs=ids))

    async def load_wallets(self, ids: Iterable[FreelancerId], business_time: datetime | None) -> None:
        """Have these wallets in memory, or know that they do not exist yet."""
        await self._have(Needs(freelancers=ids), business_time)

    async def load_to_correct(self, found: Iterable[ToVoid | ToUndo], business_time: datetime | None) -> None:
        """Have in memory what voiding, replacing or undoing these decisions asks about."""
        wanted = Needs()
        for what in found:
            wanted.ask_for_correction(what)
        await self._have(wanted, business_time)
        await self._load_what_they_drew(wanted.proposals, business_time)

    async def load_memberships(self, ids: Iterable[FreelancerId]) -> None:
        """Have these memberships in memory, what is held of them, and the charges that they wait for."""
        await self._have(Needs(memberships=ids))

    async def load_whole_spends(self, ids: Iterable[ProposalId], business_time: datetime | None) -> None:
        """Have these spends in memory, with their wallets and the lots that they drew."""
        wanted = Needs(proposals=ids)
        await self._have(wanted)
        await self._load_what_they_drew(wanted.proposals, business_time)

    async def _load(self, wanted: Needs, business_time: datetime | None, most_spends: int) -> None:
        await self._have(wanted, business_time)
        jobs, of_jobs = self.state.jobs, Needs()
        waiting = [one.freelancer_id for name in wanted.proposals for one in self.state.awaiting.get(name, ())]
        await self._have(Needs(freelancers=waiting), business_time)  # they get their decisions with the proposal
        for job_id in wanted.settling:
            if len(wanted.proposals) + len(of_jobs.proposals) >= most_spends:
                break  # the rest is loaded as it is worked off
            of_jobs.proposals.update(dict.fromkeys(jobs[job_id].proposal_ids[:AT_ONCE]))
        for job_id in wanted.hired if self._claws_back else ():
            of_jobs.proposals.update(dict.fromkeys(jobs[job_id].proposal_ids))
        await self._have(of_jobs)
        await self._load_what_they_drew(wanted.proposals | of_jobs.proposals, business_time)

    async def _have(self, wanted: Needs, business_time: datetime | None = None) -> None:
        """Have in memory what is named here; the ledger is queried for whatever is neither loaded nor being loaded."""
        lacking = self._lacking(wanted)
        loads = [task for task, coming in self._under_way.items() if lacking.leave_out(coming)]
        if lacking:
            loads.append(self._begin_to_ask_for(lacking, business_time))
        if loads:
            await asyncio.gather(*loads)

    def _begin_to_ask_for(self, lacking: Needs, business_time: datetime | None) -> asyncio.Task[None]:
        """Query the ledger in the background; the query leaves `_under_way` as its own last step.

        A callback would come a turn of the event loop later: until then what is done would still count as on its way.
        """

        async def ask() -> None:
            try:
                await self._ask_for(lacking, business_time)
            finally:
                self._under_way.pop(task, None)

        task = asyncio.create_task(ask())
        self._under_way[task] = lacking
        consume_exception(task)
        return task

    async def _ask_for(self, lacking: Needs, business_time: datetime | None) -> None:
        loads: list[Awaitable[None]] = []
        if lacking.jobs:
            loads.append(self._ask_for_jobs(list(lacking.jobs)))
        if lacking.proposals:
            loads.append(self._ask_for_spends(list(lacking.proposals)))
        if lacking.freelancers:
            loads.append(self._ask_for_wallets(list(lacking.freelancers), business_time))
        if lacking.memberships:
            loads.append(self._ask_for_memberships(list(lacking.memberships)))
        if lacking.charges:
            loads.append(self._ask_for_charges(list(lacking.charges)))
        if lacking.grants:
            loads.append(self._ask_for_grants(lacking.grants))
        await asyncio.gather(*loads)

    def _lacking(self, wanted: Needs) -> Needs:
        """What of it is not in memory. Of memberships that are, the charges that they wait for may be forgotten."""
        state, lacking = self.state, Needs()
        lacking.jobs = _without(wanted.jobs, state.jobs)
        lacking.proposals = _without(wanted.proposals, state.spends)
        lacking.freelancers = _without(_without(wanted.freelancers, state.wallets), state.absent_wallets)
        lacking.memberships = _without(wanted.memberships, state.memberships)
        lacking.grants = _without(_without(wanted.grants, state.grants), state.absent_grants)
        asked = dict(wanted.charges)
        for freelancer_id in wanted.memberships:
            membership = state.memberships.get(freelancer_id)
            if membership is not None:
                ask_for_pending(membership, state.held.get(freelancer_id, ()), asked)
        lacking.charges = _without(asked, state.charges)
        return lacking

    async def _ask_for_jobs(self, ids: Sequence[JobId]) -> None:
        _add(self.state.jobs, await self._store.jobs(ids))

    async def _ask_for_spends(self, ids: Sequence[ProposalId]) -> None:
        """Also for what waits for proposals that are not known yet."""
        state = self.state
        spends, waiting = await asyncio.gather(self._store.spends(ids), self._store.awaiting(ids))
        for spend in spends:
            state.spends.setdefault(spend.proposal_id, spend)
        state.absent_spends.update(proposal_id for proposal_id in ids if proposal_id not in state.spends)
        waits = _without(dict.fromkeys(told.proposal_id for told in waiting), state.spends)
        new = _without(waits, state.awaiting)
        for told in waiting:
            if told.proposal_id in new:
                state.awaiting.setdefault(told.proposal_id, []).append(told)

    async def _ask_for_wallets(self, ids: Sequence[FreelancerId], business_time: datetime | None) -> None:
        state = self.state
        found, last = await asyncio.gather(self._store.wallets(ids, business_time), self._store.last_decisions(ids))
        _add(self.last_decisions, last)
        for wallet in found.values():
            wallet.owing = await self._known(wallet.owing)
        _add(state.wallets, found)
        state.absent_wallets.update(name for name in ids if name not in state.wallets)

    async def _known(self, spends: Sequence[Spend]) -> list[Spend]:
        """These spends, each as it is in memory: a wallet shares its owing spends with `spends`."""
        known: list[Spend] = []
        async for some in in_turns(spends):
            known += [self.state.spends.setdefault(spend.proposal_id, spend) for spend in some]
        return known

    async def _ask_for_memberships(self, ids: Sequence[FreelancerId]) -> None:
        """Also for what is held of them, and the charges that they wait for.

        All comes in at once: whoever finds a membership in memory finds those as well.
        """
        state = self.state
        found, waiting = await asyncio.gather(self._store.memberships(ids), self._store.held(ids))
        asked: dict[ChargeKey, None] = {}
        for membership in found.values():
            ask_for_pending(membership, (), asked)
        for held in waiting:
            ask_for_answered(held, asked)
        if unknown := _without(asked, state.charges):
            await self._ask_for_charges(list(unknown))
        new = _add(state.memberships, found)
        for held in waiting:
            if held.freelancer_id in new:
                state.held.setdefault(held.freelancer_id, []).append(held)

    async def _ask_for_charges(self, keys: Sequence[ChargeKey]) -> None:
        for charge in await self._store.charges(keys):
            self.state.charges.setdefault(charge.key, charge)
        self.state.absent_charges.update(key for key in keys if key not in self.state.charges)

    async def _ask_for_grants(self, keys: Iterable[tuple[str, str]]) -> None:
        for grant in await self._store.grants(keys):
            self.state.grants.setdefault((grant.rule, grant.natural_key), grant)
        self.state.absent_grants.update(key for key in keys if key not in self.state.grants)

    @property
    def _has_too_much(self) -> bool:
        """Whether something should be forgotten before more is loaded."""
        state = self.state
        return (
            self._is_full
            or len(state.absent_wallets) > MOST_WALLETS
            or len(state.absent_spends) > MOST_SPENDS
            or len(state.absent_grants) > MOST_GRANTS
            or len(state.absent_charges) > MOST_CHARGES
            or self.first_decisions.are_too_many
            or len(state.grants) > MOST_GRANTS
            or len(state.awaiting) > MOST_GRANTS
            or len(state.charges) > MOST_CHARGES
        )

    @property
    def _is_full(self) -> bool:
        state, left = self.state, self._left
        return (  # what could not be forgotten last time does not make it full again at once
            len(state.wallets) > max(MOST_WALLETS, left[0] * 5 // 4)
            or len(state.spends) > max(MOST_SPENDS, left[1] * 5 // 4)
            or len(state.jobs) > max(MOST_JOBS, left[2] * 5 // 4)
            or len(state.memberships) > max(MOST_MEMBERSHIPS, left[3] * 5 // 4)
        )

    def forget(self) -> None:
        """Let go of what was loaded long ago, of nothing that is not in the ledger yet."""
        self.forgotten += 1
        state, changed, in_flight = self.state, self.state.changed, self.in_flight
        state.forget_absences()
        self._forget_last_decisions()
        self.first_decisions.forget(self.committed_through)
        if len(state.grants) > MOST_GRANTS:
            added = {(grant.rule, grant.natural_key) for writes in (changed, in_flight) for grant in writes.grants}
            _trim(state.grants, MOST_GRANTS, lambda key, _: key in added)
        if len(state.awaiting) > MOST_GRANTS:
            both = [told for writes in (changed, in_flight) for told in writes.awaiting_added + writes.awaiting_done]
            awaited = {told.proposal_id for told in both}
            _trim(state.awaiting, MOST_GRANTS, lambda key, _: key in awaited)
        _trim(state.charges, MOST_CHARGES, lambda key, _: key in changed.charges or key in in_flight.charges)
        if not self._is_full:
            return
        _trim(state.wallets, MOST_WALLETS, lambda key, _: key in changed.wallets or key in in_flight.wallets)
        _trim(state.jobs, MOST_JOBS, lambda key, _: key in changed.jobs or key in in_flight.jobs)
        # A wallet in memory shares its owing spends with `spends`.
        _trim(
            state.spends,
            MOST_SPENDS,
            lambda key, spend: spend.owes or key in changed.spends or key in in_flight.spends,
        )
        self._forget_memberships()
        self._left = (len(state.wallets), len(state.spends), len(state.jobs), len(state.memberships))

    def _forget_last_decisions(self) -> None:
        """Let go of those of freelancers who have to be loaded again, of nothing that is not in the ledger yet."""
        wallets, through, known = self.state.wallets, self.committed_through, self.last_decisions
        for name in [name for name, seq in known.items() if seq <= through and name not in wallets]:
            del known[name]

    def _forget_memberships(self) -> None:
        """Let go of memberships, each with what is held of it."""
        state, changed, in_flight = self.state, self.state.changed, self.in_flight
        if len(state.memberships) > MOST_MEMBERSHIPS:
            both = (changed, in_flight)
            moved = {held.freelancer_id for writes in both for held in writes.held_added + writes.held_done}
            _trim(
                state.memberships,
                MOST_MEMBERSHIPS,
                lambda key, _: key in moved or key in changed.memberships or key in in_flight.memberships,
            )
            for freelancer_id in [known for known in state.held if known not in state.memberships]:
                del state.held[freelancer_id]

    async def _load_what_they_drew(self, ids: Iterable[ProposalId], business_time: datetime | None) -> None:
        """Have the wallets of those of these spends that exist, all in memory, and in them the lots that they drew.

        A wallet is loaded without the drained lots that have ended by now. A settlement that was due before they ended,
        but comes after a long stop or from behind a parked wallet, returns Connects to them all the same.
        """
        spends = [self.state.spends[name] for name in ids if name in self.state.spends]
        if not spends:
            return
        await self._have(Needs(freelancers=[spend.freelancer_id for spend in spends]), business_time)
        if business_time is None:
            return
        async with self._lots:  # one after the other: what one brings may be given back and end before another comes
            drawn = self._lots_missing(spends, business_time)
            for lot in await self._store.lots(drawn) if drawn else ():
                wallet = self.state.wallets[lot.freelancer_id]
                if not _holds(wallet, lot.order):
                    wallet.drained[lot.lot_id] = lot

    def _lots_missing(self, spends: Iterable[Spend], business_time: datetime) -> list[tuple[FreelancerId, LotId]]:
        drawn: dict[tuple[FreelancerId, LotId], None] = {}
        for spend in spends:
            for line in (spend.base, spend.boost):
                for order, _ in line.draws:
                    if order.expires_at <= business_time and not _holds(self.state.wallets[spend.freelancer_id], order):
                        drawn[spend.freelancer_id, order.lot_id] = None
        return list(drawn)


def _add(held: dict[Key, Value], found: Mapping[Key, Value]) -> set[Key]:
    """Take in what was found, but nothing in the place of what is there already; gives which were new."""
    new = {key for key in found if key not in held}  # `found.keys() - held.keys()` goes through all that are held
    for key in new:
        held[key] = found[key]
    return new


def _without(wanted: dict[Key, None], known: Container[Key]) -> dict[Key, None]:
    return {key: None for key in wanted if key not in known}


def _holds(wallet: Wallet, lot: BurnOrder) -> bool:
    return lot.lot_id in wallet.drained or find_lot(wallet.lots, lot) is not None


def _trim(held: dict[Key, Value], most: int, is_needed: Callable[[Key, Value], bool]) -> None:
    """Forget what was loaded first, down to three fourths of `most`, once there are more, but nothing needed."""
    if len(held) <= most:
        return
    surplus = len(held) - most * 3 // 4
    oldest = (key for key, value in held.items() if not is_needed(key, value))
    for key in list(islice(oldest, surplus)):
        del held[key]
