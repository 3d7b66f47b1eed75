"""The store on PostgreSQL: set-based reads, and one transaction per batch that proves the epoch first."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from worker.domain.booking import burn_order, debt_order
from worker.domain.model import (
    Charge,
    ChargeKey,
    FreelancerId,
    Grant,
    InterviewGrant,
    Job,
    JobId,
    Lot,
    LotId,
    Membership,
    ProposalId,
    Spend,
    Wallet,
    freed_grant,
)
from worker.domain.policy_use import StoredVersion
from worker.domain.rules.decides import Standing
from worker.domain.state import Awaited, Held
from worker.errors import Transient
from worker.fault_points import FaultPoint, no_fault
from worker.futures import in_turns
from worker.kafka.holds import Hold, by_place
from worker.kafka.output.outbox import DeadLetter, OutboxRow
from worker.kafka.output.published_before import Named, PublishedBefore
from worker.kafka.records import Position, TopicPartition
from worker.ledger.appointments import Rows, read_appointments
from worker.ledger.batch import Batch
from worker.ledger.batch_writing import BatchWriting
from worker.ledger.budget import MOST_BY_DEFAULT
from worker.ledger.deadlines import TRANSACTION_SECONDS
from worker.ledger.joined import read_awaited, read_held, read_hold, read_parked_trigger
from worker.ledger.leadership import guard
from worker.ledger.leaves import log_after
from worker.ledger.membership_rows import read_charge, read_membership
from worker.ledger.merkle import stored_log
from worker.ledger.parked import ParkedKey, ParkedTrigger
from worker.ledger.past import Together, in_full, linked_lots, mentioned, moved_since, naming, standing
from worker.ledger.pool import Pool, Purpose
from worker.ledger.recorded_change import RecordedChange, RecordedSize, read_recorded
from worker.ledger.refused import REFUSED, refused
from worker.ledger.replaced import first_decision_of
from worker.ledger.rows import as_uuid, read_closure, read_lot, read_spend
from worker.ledger.sql import load
from worker.ledger.store import Appointment, FirstDecision, Moved, OpenCommand, Past, Tail
from worker.ledger.tables import (
    ChangeRow,
    ChargeRow,
    ClosureRow,
    DecisionRow,
    LotRow,
    MembershipRow,
    PolicyRow,
    ReplayedRow,
    ReplayRow,
    SpendRow,
)

_SQL: Final = load("store.sql")
_NO_BATCH: Final[Mapping[str, Any]] = {
    "batch_no": 0,
    "last_seq": 0,
    "chain_head": bytes(32),
    "business_time": None,
    "outbox_seq": 0,
    "log_size": None,
}
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


async def read_tail(rows: Rows) -> Tail:
    """Where the ledger ends; `rows` runs a named statement of store.sql."""
    found = await rows("tail")
    row = found[0] if found else _NO_BATCH
    if row["log_size"] is None:
        before = [PolicyRow(*policy) for policy in await rows("policies_before_the_log")]
        log = log_after(row["chain_head"], before)
    else:
        log = stored_log(row["log_size"], row["log_peaks"])
    ends = (row["batch_no"], row["last_seq"], row["chain_head"], row["business_time"], row["outbox_seq"])
    return Tail(*ends, log)


class PostgresStore:
    """The ledger's store. One connection writes, others read ahead while it does; one serves the relay.

    It has at most `most_connections`, with those that the rest of a leader needs. Every method raises Transient when
    the database is away; `commit` also LeadershipLost and BatchRefused.
    """

    def __init__(
        self, database_url: str, holder: str, reached: FaultPoint = no_fault, *, most_connections: int = MOST_BY_DEFAULT
    ) -> None:
        self._reached = reached
        self._writing = BatchWriting()
        self._pool = Pool(database_url, holder, most_connections, self._writing.prepare)

    async def tail(self) -> Tail:
        """Where the ledger ends."""
        return await read_tail(self._rows)

    async def positions(self) -> dict[TopicPartition, Position]:
        """The next offset to decide, for every partition ever read."""
        found = {}
        for row in await self._rows("positions"):
            source = TopicPartition(row["topic"], row["partition"])
            found[source] = Position(source, *tuple(row)[2:])
        return found

    async def holds(self) -> dict[TopicPartition, Hold]:
        """What operators have put on hold, by place."""
        return by_place(read_hold(row) for row in await self._rows("holds"))

    async def decided_ahead(self) -> dict[TopicPartition, int]:
        """The last offset decided at or after its position, of each partition whose position was set back."""
        rows = await self._rows("decided_ahead")
        return {TopicPartition(row["topic"], row["partition"]): row["offset"] for row in rows}

    async def decided_offsets(self, source: TopicPartition, incarnation: int, first: int, last: int) -> set[int]:
        """Which offsets of a partition, from `first` to `last`, have a first decision."""
        rows = await self._rows("decided_offsets", source.topic, incarnation, source.partition, first, last)
        return {row["offset"] for row in rows}

    async def seen(self, keys: Sequence[str]) -> dict[str, int]:
        """Which of these event ids (see `seen_key`) were decided, and by which decision."""
        return {row["key"].hex: row["seq"] for row in await self._rows("seen", _listed(keys))}

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with."""
        return {row["seq"]: first_decision_of(row) for row in await self._rows("first_decisions", seqs)}

    async def wallets(self, ids: Sequence[FreelancerId], after: datetime | None) -> dict[FreelancerId, Wallet]:
        """Wallets that exist, with lots open or expiring after then, owing spends, and interview grants."""
        listed = _listed(ids)
        found, lots, owing, interviews = await asyncio.gather(
            self._rows("wallets", listed),
            self._rows("lots", listed, after or _NEVER),
            self._rows("owing_spends", listed),
            self._rows("interviews", listed),
        )
        wallets = {row["freelancer_id"]: Wallet(*row) for row in found}
        async for some in in_turns(lots):
            for row in some:
                lot = read_lot(LotRow._make(row))
                wallet = wallets[lot.freelancer_id]
                if lot.remaining:
                    wallet.lots.append(lot)
                else:
                    wallet.drained[lot.lot_id] = lot
        async for some in in_turns(owing):
            for row in some:
                spend = read_spend(SpendRow._make(row))
                wallets[spend.freelancer_id].owing.append(spend)
        for row in interviews:
            wallets[row["freelancer_id"]].interviews.append(InterviewGrant(row["occurred_at"], row["connects"]))
        for wallet in wallets.values():
            wallet.lots.sort(key=burn_order)
            wallet.owing.sort(key=debt_order)
            wallet.interviews.sort()
        return wallets

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        """The last decision that names each of these freelancers; 0 for one that no decision names."""
        return {row["freelancer_id"]: row["seq"] for row in await self._rows("last_decisions", _listed(ids))}

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        whose, lot_ids = _listed(whose for whose, _ in ids), _listed(lot_id for _, lot_id in ids)
        return [read_lot(LotRow._make(row)) for row in await self._rows("lots_by_id", whose, lot_ids)]

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for; one never heard of is empty."""
        jobs = {job_id: Job(job_id) for job_id in ids}
        hires, closures, proposals = await asyncio.gather(
            *(self._rows(name, _listed(ids)) for name in ("hires", "closures", "proposals_of_jobs"))
        )
        for row in hires:
            jobs[row["job_id"]].first_hired_at = row["first_hired_at"]
        for row in closures:
            jobs[row["job_id"]].closures.append(read_closure(ClosureRow._make(row)))
        async for some in in_turns(proposals):
            for row in some:
                jobs[row["job_id"]].proposal_ids.append(row["proposal_id"])
        return jobs

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        return [read_spend(SpendRow._make(row)) for row in await self._rows("spends", _listed(ids))]

    async def awaiting(self, ids: Sequence[ProposalId]) -> list[Awaited]:
        """Withdrawals and outbids that wait for these proposals, in ledger order."""
        return [read_awaited(row) for row in await self._rows("awaiting", _listed(ids))]

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key); of a key that was freed by a void one that does not stand."""
        pairs = list(keys)
        rows = await self._rows("grants", _listed(rule for rule, _ in pairs), _listed(key for _, key in pairs))
        return [read_grant(row) for row in rows]

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for; one never heard of has not begun."""
        memberships = {freelancer_id: Membership(freelancer_id) for freelancer_id in ids}
        for row in await self._rows("memberships", _listed(ids)):
            memberships[row["freelancer_id"]] = read_membership(MembershipRow._make(row))
        return memberships

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were asked for."""
        rows = await self._rows("charges", _listed(who for who, _ in keys), _listed(charge for _, charge in keys))
        return [read_charge(ChargeRow._make(row)) for row in rows]

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet, in ledger order."""
        found: list[Held] = []
        async for some in in_turns(await self._rows("held", _listed(ids))):
            found += map(read_held, some)
        return found

    async def appointments(
        self, limit: int, grace: timedelta, after: Appointment | None = None
    ) -> tuple[list[Appointment], Appointment]:
        """The next clock work that is not parked, and the place in its order up to which that is all there is.

        Of the work `after` a place, or of all: at most `limit` of each kind, even of one instant.
        """
        return await read_appointments(self._rows, limit, grace, after)

    async def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs, each with the event ids of the clock work that waits there."""
        found: dict[ParkedKey, set[str]] = {ParkedKey(*row): set() for row in await self._rows("parked")}
        for row in await self._rows("parked_clock_work"):
            found.setdefault(ParkedKey("wallet", row["key"]), set()).add(row["event_id"])
        return found

    async def parked_triggers(self, key: ParkedKey, after: int = 0, most: int = 2_000) -> list[ParkedTrigger]:
        """What waits behind one parked wallet or job after the decision `after`, in ledger order; `most` of it."""
        return [read_parked_trigger(row) for row in await self._rows("parked_triggers", *key, after, most)]

    async def count_parked_triggers(self, key: ParkedKey) -> int:
        """How many triggers wait behind one parked wallet or job."""
        return int((await self._rows("count_parked_triggers", *key))[0][0])

    async def open_commands(self) -> list[OpenCommand]:
        """The commands of operators without an answer, oldest first."""
        return [OpenCommand._make(row) for row in await self._rows("open_commands")]

    async def stored_policies(self) -> list[StoredVersion]:
        """Every policy version that the ledger has."""
        return [StoredVersion(*row) for row in await self._rows("stored_policies")]

    async def database_time(self) -> datetime:
        """What the database's clock shows."""
        instant: datetime = (await self._rows("database_time"))[0][0]
        return instant

    async def ledger_id(self) -> str:
        """Which ledger it is."""
        return str((await self._rows("ledger_id"))[0][0])

    async def replay(self, plan: str) -> ReplayRow | None:
        """The plan of this hash, if it was begun."""
        return next((ReplayRow._make(row) for row in await self._rows("replay", plan)), None)

    async def replayed(self, plan: str, numbers: Sequence[int]) -> dict[int, ReplayedRow]:
        """What became of these triggers of a plan, of those that have an answer."""
        return {row["number"]: ReplayedRow._make(row) for row in await self._rows("replayed", plan, numbers)}

    async def not_replayed(
        self, plan: str, freelancers: Sequence[FreelancerId], jobs: Sequence[JobId]
    ) -> list[ReplayedRow]:
        """The triggers of a plan about these freelancers or jobs that were answered and not booked."""
        rows = await self._rows("not_replayed", plan, freelancers, jobs)
        return [ReplayedRow._make(row) for row in rows]

    async def in_full(self, seq: int) -> tuple[DecisionRow, list[ChangeRow]] | None:
        """A decision and its changes."""
        return (await in_full(self._rows, [seq]))[0]

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        return (await moved_since(self._rows, [(freelancer_id, version)]))[0]

    async def linked_lots(self, freelancer_id: FreelancerId) -> list[tuple[LotId, LotId]]:
        """The lots of a freelancer that are linked to another one, and which."""
        return (await linked_lots(self._rows, [freelancer_id]))[0]

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        return (await naming(self._rows, [proposal_id]))[0]

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys (see `mentions.py`), in ledger order."""
        return (await mentioned(self._rows, [(tuple(keys), after)]))[0]

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        rows = await self._rows("settled_by", job_id, proposal_id)
        return [(row["closure_seq"], row["seq"]) for row in rows]

    async def standing(self, seq: int, proposal_id: ProposalId | None) -> Standing:
        """What stands for a decision, which names this proposal if it is on one, since corrections."""
        return (await standing(self._rows, [(seq, proposal_id)]))[0]

    def together(self) -> Past:
        """The same answers about the past: what many ask at once is looked up in one statement."""
        return Together(self, self._rows)

    async def not_made_again(self) -> int:
        """How many adopted messages are not made again yet."""
        return int((await self._rows("not_made_again"))[0][0])

    async def published_before(self, names: Sequence[Named]) -> dict[Named, PublishedBefore]:
        """Those of these messages that were adopted and are not made again yet."""
        rows = await self._rows("published_before", *map(list, zip(*names, strict=True)))
        return {Named(*row[:3]): PublishedBefore(*row[3:]) for row in rows}

    async def recorded_sizes(self, wallets: Sequence[tuple[str, int]], most: int) -> list[RecordedSize]:
        """How large the changes are that `recorded_changes` has of these wallets."""
        rows = await self._rows("recorded_sizes", *map(list, zip(*wallets, strict=True)), most)
        return [RecordedSize(*row) for row in rows]

    async def recorded_changes(self, wallets: Sequence[tuple[str, int]], most: int) -> list[RecordedChange]:
        """The changes of these wallets, each from a version on, in that order and by version; so many at most."""
        rows = await self._rows("recorded_changes", *map(list, zip(*wallets, strict=True)), most)
        return [read_recorded(dict(row)) for row in rows]

    async def commit(self, batch: Batch, epoch: int) -> None:
        """Write a batch in one transaction, proving the epoch first.

        Raises:
            LeadershipLost: the epoch is not ours any more; nothing was written.
            Transient: it may or may not have been written, or the ledger ends elsewhere; take the recovery path.
            BatchRefused: it holds what PostgreSQL cannot take; nothing was written.
        """
        async with self._pool.use("writer", TRANSACTION_SECONDS) as connection:
            # After a failure the connection is closed, which ends the transaction: nobody waits for a ROLLBACK.
            await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            # Connections that a failover ended were replaced meanwhile: the new primary may lack the last batches.
            if (last := await guard(connection, epoch)) < batch.batch_no - 1:
                raise Transient(
                    f"the ledger ends with batch {last}, not with batch {batch.batch_no - 1}: a failover or a restore "
                    "has put the database back"
                )
            self._reached("after-epoch-check")
            try:
                await self._writing.write(connection, batch)
                self._reached("before-commit")
                await connection.execute("COMMIT")
            except REFUSED as error:
                raise refused(batch, error) from error
            self._reached("after-commit")

    # What the relay and the dead-letter lane ask.

    async def outbox_rows(self, after_seq: int, limit_bytes: int) -> list[OutboxRow]:
        """The rows after `after_seq`, in order, up to about `limit_bytes` of messages; at least one if there is one."""
        return [OutboxRow(*row) for row in await self._rows("outbox_rows", after_seq, limit_bytes, on="relay")]

    async def outbox_state(self) -> tuple[int, int]:
        """The last `seq` ever given to a batch, and the `seq` up to which rows were dropped; 0 for none."""
        row = (await self._rows("outbox_state", on="relay"))[0]
        return row["last_seq"], row["dropped_through"]

    async def batch_uid_at(self, seq: int) -> UUID | None:
        """The `batch_uid` of the batch with that `seq`; None when there is no such batch."""
        rows = await self._rows("batch_uid_at", seq, on="relay")
        return as_uuid(rows[0]["batch_uid"]) if rows else None

    async def still_mine(self, epoch: int) -> bool:
        """Whether the ledger's epoch is still that one."""
        return bool((await self._rows("epoch_held", epoch, on="relay"))[0][0])

    async def letters_unsent(self, limit: int, value_bytes: int, limit_bytes: int) -> list[DeadLetter]:
        """The oldest letters that nobody acknowledged yet, in ledger order, within the limits; at least one."""
        rows = await self._rows("letters_unsent", limit, value_bytes, limit_bytes, on="letters")
        return [DeadLetter(*row) for row in rows]

    async def letters_sent(self, seqs: Sequence[int]) -> None:
        """Note that the letters of these decisions were acknowledged."""
        await self._rows("letters_sent", seqs, on="letters")

    async def open(self) -> None:
        """Have one connection for each purpose; wait until PostgreSQL has as many.

        Raises:
            Transient: the database is away.
        """
        await self._pool.open()

    @property
    def trouble(self) -> str | None:
        """Why `open` does not come to an end; None when nothing is in its way."""
        return self._pool.trouble

    async def close(self) -> None:
        """Let go of all connections; what is under way on them fails."""
        self._pool.close()

    async def _rows(self, statement: str, *arguments: object, on: Purpose = "reader") -> list[asyncpg.Record]:
        async with self._pool.use(on) as connection:
            return await connection.fetch(_SQL[statement], *arguments)


def read_grant(row: asyncpg.Record) -> Grant:
    """A row of the statement `grants`."""
    rule, natural_key, freelancer_id, occurred_at, connects, decision_seq, voided = row
    if freelancer_id is None:
        return freed_grant(rule, natural_key, voided)
    return Grant(rule, natural_key, freelancer_id, occurred_at, connects, decision_seq, voided=voided)


def _listed(ids: Iterable[str]) -> str:
    """Ids as one text, which costs a tenth of an array of texts. No id of the contract has a comma."""
    return ",".join(ids)
