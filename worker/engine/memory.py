"""Loading what the next triggers ask about, and forgetting what nobody asked about for long."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, TypeVar

from worker.domain.books import Books, Held, Touched
from worker.domain.model import BurnOrder, ChargeKey, FreelancerId, JobId, LotId, ProposalId, Spend, Wallet
from worker.domain.policy import PolicyBook
from worker.domain.rules import grants
from worker.futures import hear_out
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, Appointment, FirstDecision, Store
from worker.stream.records import InputRecord

MOST_WALLETS: Final = 30_000
MOST_JOBS: Final = 20_000
MOST_SPENDS: Final = 30_000
MOST_GRANTS: Final = 20_000
MOST_MEMBERSHIPS: Final = 30_000
MOST_CHARGES: Final = 20_000
MOST_SEEN: Final = 8_000
MOST_SEEN_BYTES: Final = 16 * 1024 * 1024

Key = TypeVar("Key")
Value = TypeVar("Value")


def seen_key(topic: str, event_id: str) -> str:
    """How an event id of a topic is remembered: a hash of both, 16 bytes written in hexadecimal."""
    return blake2b(f"{topic}\0{event_id}".encode(), digest_size=16).hexdigest()


class _Wanted:
    """What triggers ask about: sets that keep their order, and the jobs whose proposals are asked about as well."""

    def __init__(self) -> None:
        self.freelancers: dict[FreelancerId, None] = {}
        self.jobs: dict[JobId, None] = {}
        self.proposals: dict[ProposalId, None] = {}
        self.grants: dict[tuple[str, str], None] = {}
        self.memberships: dict[FreelancerId, None] = {}
        self.charges: dict[ChargeKey, None] = {}
        self.settling: list[JobId] = []
        self.hired: list[JobId] = []

    def ask_for_event(self, topic: str, named: Mapping[str, Any]) -> None:
        """What an event of that topic asks about; `named` are its fields."""
        if topic == "job-closed":
            self.settling.append(named["job_id"])
        else:
            self.freelancers[named["freelancer_id"]] = None
        if topic in _NEEDS_JOB:
            self.jobs[named["job_id"]] = None
            if topic == "hire-made":
                self.hired.append(named["job_id"])
        if topic in _NEEDS_PROPOSAL:
            self.proposals[named["proposal_id"]] = None
        if topic in _NATURAL_KEYS:
            self.grants[_natural_key(topic, named)] = None
        if topic in _NEEDS_MEMBERSHIP:
            self.memberships[named["freelancer_id"]] = None
            if topic == _CHARGE_SETTLED:
                self.charges[ChargeKey(named["freelancer_id"], named["charge_id"])] = None

    def ask_for_appointment(self, appointment: Appointment) -> None:
        """What a piece of clock work asks about."""
        if appointment.rank in {EXPIRY, CYCLE}:
            self.freelancers[FreelancerId(appointment.subject)] = None
            if appointment.rank == CYCLE:
                self.memberships[FreelancerId(appointment.subject)] = None
            return
        self.jobs[JobId(appointment.subject)] = None
        if appointment.rank == LATE_SETTLEMENT:
            self.proposals[ProposalId(appointment.key)] = None
        else:
            self.settling.append(JobId(appointment.subject))


class Memory:
    """Keeps `books` holding what is about to be needed. What is absent then stays so until the writer adds it."""

    def __init__(self, store: Store, books: Books, policies: PolicyBook) -> None:
        self._store = store
        self._claws_back = any(policy.late_hire == "claw-back" for policy in policies.versions)
        self.books = books
        self._left = (0, 0, 0, 0)
        """How many wallets, spends, jobs and memberships were left when there last was too much."""
        self.forgotten = 0
        """How often anything was forgotten: whoever prepared something before has to prepare it again."""
        self._seen: dict[str, tuple[int, InputRecord]] = {}
        """First decisions on event ids, of batches that may not be committed yet (and some that are)."""
        self._seen_bytes = 0
        self.seen_long_ago: dict[str, FirstDecision] = {}
        """First decisions, found in the ledger, on event ids of the records prepared last."""
        self._ahead: asyncio.Task[None] | None = None
        """The load that is under way while what was loaded before is decided."""

    def load_ahead(self, due: Sequence[Appointment], business_time: datetime | None) -> None:
        """Begin to load what this clock work asks about. `loaded` waits for it, and must before anything is forgotten.

        Whoever asks meanwhile for something that is not in memory waits as well: it may be on its way, and must not
        come in again once it was changed.
        """
        if self._ahead is not None:
            raise AssertionError("a load is under way, and nobody has waited for it")
        if due:
            self._ahead = asyncio.create_task(self.prepare_due(due, business_time))
            hear_out(self._ahead)

    def abandon(self) -> None:
        """Let go of the load that is under way: this memory is not used any more."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def loaded(self) -> None:
        """Wait for what `load_ahead` began.

        Raises:
            Transient: the database is away.
        """
        if self._ahead is not None and self._ahead is not asyncio.current_task():
            ahead, self._ahead = self._ahead, None
            await ahead

    async def prepare(
        self, records: Sequence[InputRecord], due: Iterable[Appointment], business_time: datetime | None
    ) -> None:
        """Load what these records and this clock work ask about."""
        await self._load_seen(records)
        wanted = _Wanted()
        for record in records:
            if record.event is not None:
                wanted.ask_for_event(record.source.topic, record.event.__dict__)
        for appointment in due:
            wanted.ask_for_appointment(appointment)
        await self._load(wanted, business_time, MOST_SPENDS // 2)

    async def prepare_due(self, due: Iterable[Appointment], business_time: datetime | None) -> None:
        """Load what this clock work asks about: of all its closures together no more spends than of one."""
        wanted = _Wanted()
        for appointment in due:
            wanted.ask_for_appointment(appointment)
        await self._load(wanted, business_time, AT_ONCE)

    async def _load(self, wanted: _Wanted, business_time: datetime | None, most_spends: int) -> None:
        await self.load_jobs(wanted.jobs)
        for job_id in wanted.settling:
            if len(wanted.proposals) >= most_spends:
                break  # the rest is loaded as it is worked off
            wanted.proposals.update(dict.fromkeys(self.books.jobs[job_id].proposal_ids[:AT_ONCE]))
        for job_id in wanted.hired if self._claws_back else ():
            wanted.proposals.update(dict.fromkeys(self.books.jobs[job_id].proposal_ids))
        spends = await self.load_spends(wanted.proposals)
        wanted.freelancers.update((spend.freelancer_id, None) for spend in spends)
        await self.load_wallets(wanted.freelancers, business_time)
        await self._load_lots_drawn(spends, business_time)
        if wanted.memberships:
            await self.load_memberships(wanted.memberships, wanted.charges)
        missing = await self._missing(self.books.grants, wanted.grants)
        if missing:
            for grant in await self._store.grants(missing):
                self.books.grants.setdefault((grant.rule, grant.natural_key), grant)

    def note_seen(self, seq: int, record: InputRecord) -> None:
        """Note the first decision on a record's event id."""
        self._seen[record.event_key] = (seq, record)
        self._seen_bytes += len(record.value or b"")

    def first_decision(self, event_key: str) -> FirstDecision | None:
        """The first decision on an event id, of a record that was prepared; None: it was never seen."""
        recent = self._seen.get(event_key)
        if recent is None:
            return self.seen_long_ago.get(event_key)
        seq, record = recent
        event_id = record.event.event_id if record.event is not None else ""
        return FirstDecision(seq, *_place(record), record.value, event_id)

    async def load_jobs(self, ids: Iterable[JobId]) -> None:
        """Have these jobs in memory, with everything that was spent on them listed."""
        missing = await self._missing(self.books.jobs, ids)
        if missing:
            _add(self.books.jobs, await self._store.jobs(missing))

    async def load_spends(self, ids: Iterable[ProposalId]) -> list[Spend]:
        """Have these spends in memory, and what waits for proposals not known yet; gives those that exist."""
        wanted = list(ids)
        missing = await self._missing(self.books.spends, wanted)
        if missing:
            for spend in await self._store.spends(missing):
                self.books.spends.setdefault(spend.proposal_id, spend)
            unknown = [proposal_id for proposal_id in missing if proposal_id not in self.books.spends]
            unknown = [proposal_id for proposal_id in unknown if proposal_id not in self.books.awaiting]
            for told in await self._store.awaiting(unknown) if unknown else ():
                self.books.awaiting.setdefault(told.proposal_id, []).append(told)
        return [self.books.spends[proposal_id] for proposal_id in wanted if proposal_id in self.books.spends]

    async def load_whole_spends(self, ids: Iterable[ProposalId], business_time: datetime | None) -> None:
        """Have these spends in memory, with their wallets and the lots that they drew."""
        spends = await self.load_spends(ids)
        await self.load_wallets([spend.freelancer_id for spend in spends], business_time)
        await self._load_lots_drawn(spends, business_time)

    async def load_wallets(self, ids: Iterable[FreelancerId], business_time: datetime | None) -> None:
        """Have these wallets in memory, or know that they do not exist yet."""
        books = self.books
        missing = await self._missing(books.wallets, (name for name in ids if name not in books.absent_wallets))
        if missing:
            _add(books.wallets, await self._store.wallets(missing, business_time, books))
            books.absent_wallets.update(ids_ for ids_ in missing if ids_ not in books.wallets)

    async def load_memberships(self, ids: Iterable[FreelancerId], charges: Iterable[ChargeKey] = ()) -> None:
        """Have these memberships in memory, what is held of them, these charges, and those that they wait for."""
        books, wanted = self.books, list(ids)
        missing = await self._missing(books.memberships, wanted)
        found = await self._store.memberships(missing) if missing else {}
        waiting = await self._store.held(missing) if missing else []
        asked = dict.fromkeys(charges)
        for freelancer_id in wanted:
            membership = books.memberships.get(freelancer_id) or found[freelancer_id]
            for charge_id in (membership.upgrade, membership.renewal):
                if charge_id:
                    asked[ChargeKey(freelancer_id, charge_id)] = None
            for held in books.held.get(freelancer_id, ()):
                _ask_for_answered(held, asked)
        for held in waiting:
            _ask_for_answered(held, asked)
        unknown = await self._missing(books.charges, asked)
        for charge in await self._store.charges(unknown) if unknown else ():
            books.charges.setdefault(charge.key, charge)
        # All at once: whoever finds a membership in memory finds what is held of it and its charges as well.
        new = _add(books.memberships, found)
        for held in waiting:
            if held.freelancer_id in new:
                books.held.setdefault(held.freelancer_id, []).append(held)

    @property
    def has_too_much(self) -> bool:
        """Whether something should be forgotten before more is loaded."""
        books = self.books
        return (
            self._is_full
            or len(books.absent_wallets) > MOST_WALLETS
            or len(self._seen) > MOST_SEEN
            or self._seen_bytes > MOST_SEEN_BYTES
            or len(books.grants) > MOST_GRANTS
            or len(books.awaiting) > MOST_GRANTS
            or len(books.charges) > MOST_CHARGES
        )

    @property
    def _is_full(self) -> bool:
        books, left = self.books, self._left
        return (  # what could not be forgotten last time does not make it full again at once
            len(books.wallets) > max(MOST_WALLETS, left[0] * 5 // 4)
            or len(books.spends) > max(MOST_SPENDS, left[1] * 5 // 4)
            or len(books.jobs) > max(MOST_JOBS, left[2] * 5 // 4)
            or len(books.memberships) > max(MOST_MEMBERSHIPS, left[3] * 5 // 4)
        )

    def forget(self, in_flight: Touched, committed_through: int) -> None:
        """Let go of what was loaded long ago, of nothing that is not in the ledger yet.

        Not in the ledger is what `touched` and `in_flight` name; decisions up to `committed_through` are.
        """
        self.forgotten += 1
        books, touched = self.books, self.books.touched
        books.absent_wallets.clear()
        if len(self._seen) > MOST_SEEN or self._seen_bytes > MOST_SEEN_BYTES:
            self._seen = {key: first for key, first in self._seen.items() if first[0] > committed_through}
            self._seen_bytes = sum(len(record.value or b"") for _, record in self._seen.values())
        if len(books.grants) > MOST_GRANTS:
            added = {(grant.rule, grant.natural_key) for draft in (touched, in_flight) for grant in draft.grants}
            _trim(books.grants, MOST_GRANTS, lambda key, _: key in added)
        if len(books.awaiting) > MOST_GRANTS:
            awaited = {told.proposal_id for draft in (touched, in_flight) for told in draft.awaiting_added}
            _trim(books.awaiting, MOST_GRANTS, lambda key, _: key in awaited)
        _trim(books.charges, MOST_CHARGES, lambda key, _: key in touched.charges or key in in_flight.charges)
        if not self._is_full:
            return
        _trim(books.wallets, MOST_WALLETS, lambda key, _: key in touched.wallets or key in in_flight.wallets)
        _trim(books.jobs, MOST_JOBS, lambda key, _: key in touched.jobs or key in in_flight.jobs)
        # A wallet in memory shares its owing spends with `spends`.
        _trim(
            books.spends,
            MOST_SPENDS,
            lambda key, spend: spend.owes or key in touched.spends or key in in_flight.spends,
        )
        self._forget_memberships(in_flight)
        self._left = (len(books.wallets), len(books.spends), len(books.jobs), len(books.memberships))

    def _forget_memberships(self, in_flight: Touched) -> None:
        """Let go of memberships, each with what is held of it."""
        books, touched = self.books, self.books.touched
        if len(books.memberships) > MOST_MEMBERSHIPS:
            drafts = (touched, in_flight)
            moved = {held.freelancer_id for draft in drafts for held in draft.held_added + draft.held_done}
            _trim(
                books.memberships,
                MOST_MEMBERSHIPS,
                lambda key, _: key in moved or key in touched.memberships or key in in_flight.memberships,
            )
            for freelancer_id in [known for known in books.held if known not in books.memberships]:
                del books.held[freelancer_id]

    async def _load_lots_drawn(self, spends: Iterable[Spend], business_time: datetime | None) -> None:
        """Have the lots that these spends drew in their wallets.

        A wallet is loaded without the drained lots that have ended by now. A settlement that was due before they ended,
        but comes after a long stop or from behind a parked wallet, returns Connects to them all the same.
        """
        if business_time is None or not self._lots_missing(spends, business_time):
            return
        await self.loaded()
        drawn = self._lots_missing(spends, business_time)
        for lot in await self._store.lots(drawn) if drawn else ():
            wallet = self.books.wallets[lot.freelancer_id]
            if not _holds(wallet, lot.order):
                wallet.drained[lot.lot_id] = lot

    def _lots_missing(self, spends: Iterable[Spend], business_time: datetime) -> list[tuple[FreelancerId, LotId]]:
        drawn: dict[tuple[FreelancerId, LotId], None] = {}
        for spend in spends:
            for line in (spend.base, spend.boost):
                for order, _ in line.draws:
                    if order.expires_at <= business_time and not _holds(self.books.wallets[spend.freelancer_id], order):
                        drawn[spend.freelancer_id, order.lot_id] = None
        return list(drawn)

    async def _missing(self, held: Mapping[Key, object], wanted: Iterable[Key]) -> list[Key]:
        """What is not in memory, nor on its way there."""
        wanted = list(wanted)
        missing = [key for key in wanted if key not in held]
        if missing and self._ahead is not None:
            await self.loaded()
            missing = [key for key in wanted if key not in held]
        return missing

    async def _load_seen(self, records: Sequence[InputRecord]) -> None:
        keys = []
        for record in records:
            if record.event is not None:
                record.event_key = key = seen_key(record.source.topic, record.event.event_id)
                if key not in self._seen:
                    keys.append(key)
        found = await self._store.seen(keys) if keys else {}
        decisions = await self._store.first_decisions(list(found.values())) if found else {}
        self.seen_long_ago = {key: decisions[seq] for key, seq in found.items()}


AT_ONCE: Final = 500
"""How many spends of a job are settled in one go, and loaded ahead before it begins."""

_NATURAL_KEYS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "freelancer-registered": (grants.REGISTRATION, ("freelancer_id",)),
    "badge-earned": (grants.BADGE, ("freelancer_id", "badge")),
    "certification-completed": (grants.CERTIFICATION, ("freelancer_id", "certification_id")),
    "interview-won": (grants.INTERVIEW, ("freelancer_id", "job_id")),
    "connects-purchased": (grants.PURCHASE, ("purchase_id",)),
    "connects-adjusted": (grants.ADJUST, ("adjustment_id",)),
}
"""The rule of the grant that an event asks for, and the fields of its natural key."""

_CHARGE_SETTLED: Final = "membership-charge-settled"
_NEEDS_MEMBERSHIP: Final = frozenset(
    {
        "account-reinstated",
        "account-suspended",
        "earnings-balance-updated",
        "freelancer-registered",
        _CHARGE_SETTLED,
        "membership-plan-chosen",
        "promo-code-entered",
    }
)
_NEEDS_JOB: Final = frozenset({"job-closed", "hire-made", "proposal-submitted"})
_NEEDS_PROPOSAL: Final = frozenset({"proposal-submitted", "proposal-withdrawn", "boost-outbid"})


def _ask_for_answered(held: Held, asked: dict[ChargeKey, None]) -> None:
    """Ask for the charge that a held event answers, if it is an answer."""
    if held.topic == _CHARGE_SETTLED:
        asked[ChargeKey(held.freelancer_id, held.event.__dict__["charge_id"])] = None


def _add(held: dict[Key, Value], found: Mapping[Key, Value]) -> set[Key]:
    """Take in what was found, but nothing in the place of what is there already; gives which were new."""
    new = found.keys() - held.keys()
    for key in new:
        held[key] = found[key]
    return new


def _holds(wallet: Wallet, lot: BurnOrder) -> bool:
    return lot.lot_id in wallet.drained or any(held.order == lot for held in wallet.lots)


def _trim(held: dict[Key, Value], most: int, is_needed: Callable[[Key, Value], bool]) -> None:
    """Forget what was loaded first, down to three fourths of `most`, once there are more, but nothing needed."""
    if len(held) <= most:
        return
    surplus = len(held) - most * 3 // 4
    oldest = (key for key, value in held.items() if not is_needed(key, value))
    for key in list(islice(oldest, surplus)):
        del held[key]


def _natural_key(topic: str, named: Mapping[str, str]) -> tuple[str, str]:
    rule, names = _NATURAL_KEYS[topic]
    return rule, "/".join([named[name] for name in names])


def _place(record: InputRecord) -> tuple[str, int, int, int]:
    return record.source.topic, record.incarnation, record.source.partition, record.offset
