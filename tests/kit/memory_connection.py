"""The statements of asking.sql over a ledger in memory, so that commands' queries run in tests without PostgreSQL."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, cast

from worker.domain.model import AGAIN
from worker.ledger.connections import Connection
from worker.ledger.memory_store import MemoryStore
from worker.ledger.memory_tables import Tables
from worker.ledger.sql import load
from worker.ledger.tables import ChangeRow, ChargeRow, ClosureRow, DecisionRow, MembershipRow, SpendRow

_NAMES: Final = {text: name for name, text in load("asking.sql").items()}
_CHANGE: Final = (
    *(
        "decision_seq",
        "freelancer_id",
        "version",
        "occurred_at",
        "delta",
        "debt_delta",
        "balance_after",
        "rule",
        "reason",
    ),
    *("explanation", "movements"),
)
_OF_WALLET: Final = (
    *("version", "occurred_at", "recorded_at", "delta", "debt_delta", "balance_after", "rule", "reason"),
    *("policy_version", "explanation"),
)


class Row(Mapping[str, Any]):
    """A row as the driver gives it: by name and by number; iterating yields the values."""

    def __init__(self, **columns: Any) -> None:  # noqa: ANN401
        self._columns = columns

    def __getitem__(self, key: str | int) -> Any:  # noqa: ANN401
        return self._columns[key] if isinstance(key, str) else [*self._columns.values()][key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._columns.values())

    def __len__(self) -> int:
        return len(self._columns)

    def keys(self) -> Any:  # noqa: ANN401
        return self._columns.keys()

    def values(self) -> Any:  # noqa: ANN401
        return self._columns.values()


class _Asked:
    """What each statement finds, one method a statement."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    # A wallet and a membership.

    def wallet(self, whose: str) -> Iterable[Row]:
        changes = self._changes(whose)
        if changes:
            yield Row(balance=changes[-1].balance_after, version=changes[-1].version)
        elif any(row.key == f"f:{whose}" for row in self._tables.mentions):
            yield Row(balance=0, version=0)

    def count_of_open_lots(self, whose: str) -> Iterable[Row]:
        yield Row(count=sum(row.freelancer_id == whose and row.open for row in self._tables.lots))

    def open_lots(self, whose: str, most: int) -> Iterable[Row]:
        lots = [row for row in self._tables.lots if row.freelancer_id == whose and row.open]
        last = sorted(row.expires_at.date() for row in lots)[:most][-1:]
        first = [row for row in lots if row.expires_at.date() <= last[0]]
        for lot in sorted(first, key=lambda row: (row.expires_at, row.issued_at, row.lot_id)):
            names = ("lot_id", "source", "issued_at", "expires_at", "remaining")
            yield Row(**{name: getattr(lot, name) for name in names})

    def changes_of_wallet(self, whose: str, last: int | None) -> Iterable[Row]:
        for change in self._changes(whose)[::-1][:last]:
            caused = self._tables.decisions[change.decision_seq]
            names = ("topic", "incarnation", "partition", "offset", "event_id", "job_id", "proposal_id")
            yield Row(
                **{name: getattr(change, name) for name in _OF_WALLET},
                **{name: getattr(caused, name) for name in names},
                **self._added(caused),
            )

    def sums_of_month(self, whose: str, first: datetime, after: datetime) -> Iterable[Row]:
        sums: dict[tuple[str, bool], list[int]] = {}
        for change in self._changes(whose):
            outside = "before" if change.occurred_at < first else "later" if change.occurred_at >= after else None
            sums.setdefault((outside or change.rule, change.delta < 0), []).append(change.delta)
        for (kind, _), deltas in sorted(sums.items()):
            yield Row(kind=kind, connects=sum(deltas), changes=len(deltas))

    def membership(self, whose: str) -> Iterable[Row]:
        return _rows([row for row in self._tables.memberships if row.freelancer_id == whose], MembershipRow)

    def charge(self, whose: str, charge_id: str) -> Iterable[Row]:
        return _rows([row for row in self._charges(whose) if row.charge_id == charge_id], ChargeRow)

    def last_charge(self, whose: str) -> Iterable[Row]:
        return _rows(self._charges(whose)[-1:], ChargeRow)

    def members_who_wait_for(self, whose: list[str], charges: list[str]) -> Iterable[Row]:
        for name, charge_id in zip(whose, charges, strict=True):
            for row in self._charges(name):
                if row.charge_id == charge_id and row.status == "asked":
                    yield Row(freelancer_id=name)

    # Decisions, by what they name.

    def seqs_of_events(self, keys: list[str]) -> Iterable[Row]:
        return (Row(seq=row.seq) for row in self._tables.seen_events if row.key in keys)

    def seqs_of_repeats(self, event_id: str, topic: str | None) -> Iterable[Row]:
        for seq in self._mentioned(f"e:{event_id}"):
            if topic is None or self._tables.decisions[seq].topic == topic:
                yield Row(seq=seq)

    def seqs_of_clock_and_commands(self, event_id: str) -> Iterable[Row]:
        for row in self._tables.decisions:
            if row.kind in {"clock", "command"} and row.outcome != "parked" and row.event_id == event_id:
                yield Row(seq=row.seq)

    def seqs_following(self, followed: list[int]) -> Iterable[Row]:
        return (Row(seq=seq) for one in followed for seq in self._mentioned(f"s:{one}"))

    def seqs_of_settlements(self, seqs: list[int]) -> Iterable[Row]:
        causes = [self._tables.decisions[seq] for seq in seqs]
        return self._settled_by([_place(row) for row in causes if row.topic == "job-closed"])

    def seqs_of_job(self, job_id: str) -> Iterable[Row]:
        yield from (Row(seq=row.decision_seq) for row in self._tables.spends if row.job_id == job_id)
        closures = [row for row in self._tables.closures if row.job_id == job_id]
        yield from (Row(seq=row.decision_seq) for row in closures)
        yield from self._settled_by([_place(row) for row in closures])
        yield from (Row(seq=seq) for seq in self._mentioned(f"j:{job_id}"))

    def seqs_of_proposals(self, proposal_ids: list[str]) -> Iterable[Row]:
        return (row for proposal_id in proposal_ids for row in self._seqs_of_proposal(proposal_id))

    def _seqs_of_proposal(self, proposal_id: str) -> Iterable[Row]:
        for spend in (row for row in self._tables.spends if row.proposal_id == proposal_id):
            yield Row(seq=spend.decision_seq)
            places = [_place(row) for row in self._tables.closures if row.job_id == spend.job_id]
            for row in self._settled_by(places):
                if self._tables.decisions[row["seq"]].proposal_id == proposal_id:
                    yield row
        yield from (Row(seq=seq) for seq in self._mentioned(f"p:{proposal_id}"))

    def seqs_of_freelancer(self, whose: str) -> Iterable[Row]:
        yield from (Row(seq=row.decision_seq) for row in self._changes(whose))
        yield from (Row(seq=seq) for seq in self._mentioned(f"f:{whose}"))

    def seqs_of_their_own_id(self, own_id: str, whose: str) -> Iterable[Row]:
        for change in self._tables.changes:
            if change.rule in {"grant.purchase", "adjust"} and change.natural_key == own_id:
                yield Row(seq=change.decision_seq)
        yield from (Row(seq=row.decision_seq) for row in self._charges(whose) if row.charge_id == own_id)

    def decisions(self, seqs: str) -> Iterable[Row]:
        for seq in sorted(map(int, filter(None, seqs.split(",")))):
            row = self._tables.decisions[seq]
            yield Row(**row._asdict(), **self._added(row))

    def changes_of_decisions(self, seqs: str) -> Iterable[Row]:
        wanted = set(map(int, filter(None, seqs.split(","))))
        return _by_decision(row for row in self._tables.changes if row.decision_seq in wanted)

    def changes_of_freelancer(self, whose: str) -> Iterable[Row]:
        return _by_decision(self._changes(whose))

    def seqs_naming_freelancer(self, whose: str) -> Iterable[Row]:
        return (Row(seq=seq) for seq in self._mentioned(f"f:{whose}"))

    def ends_of_lots(self, _whose: str, lot_ids: str) -> Iterable[Row]:
        wanted = set(lot_ids.split(","))
        return (Row(lot_id=row.lot_id, expires_at=row.expires_at) for row in self._tables.lots if row.lot_id in wanted)

    # Proposals and jobs.

    def proposals_of_job(self, job_id: str) -> Iterable[Row]:
        return (Row(proposal_id=row.proposal_id) for row in self._tables.spends if row.job_id == job_id)

    def proposals_of_freelancer(self, whose: str, most: int | None) -> Iterable[Row]:
        spent = [change for change in self._changes(whose)[::-1] if change.rule == "spend.proposal"]
        for change in spent[:most]:
            yield Row(proposal_id=self._tables.decisions[change.decision_seq].proposal_id)

    def seqs_under_rules(self, whose: str, rules: list[str], most: int) -> Iterable[Row]:
        changed = {row.decision_seq for row in self._changes(whose) if row.rule in rules}
        named = {seq for seq in self._mentioned(f"f:{whose}") if self._tables.decisions[seq].rule in rules}
        return (Row(seq=seq) for seq in sorted(changed | named, reverse=True)[:most])

    def applications(self, proposal_ids: list[str]) -> Iterable[Row]:
        names = ("origin", "base", "boost", "base_returned", "boost_returned", "withdrawn_at", "decision_seq")
        for row in self._spends(proposal_ids):
            ids = {"proposal_id": row.proposal_id, "freelancer_id": row.freelancer_id, "job_id": row.job_id}
            yield Row(**ids, spent_at=row.occurred_at, **{name: getattr(row, name) for name in names})

    def closings_of_jobs(self, jobs: list[str]) -> Iterable[Row]:
        closures = [row for row in self._tables.closures if row.job_id in jobs and AGAIN not in row.closure]
        for row in sorted(closures, key=lambda row: (row.closed_at, row.decision_seq)):
            names = ("job_id", "closed_at", "closure", "settled", "decision_seq")
            yield Row(**{name: getattr(row, name) for name in names})

    def hires_of_jobs(self, keys: list[str]) -> Iterable[Row]:
        rows = [self._tables.decisions[seq] for key in keys for seq in self._mentioned(key)]
        recorded = (row for row in rows if row.topic == "hire-made" and row.outcome == "recorded")
        hires = [row for row in recorded if row.seq not in self._tables.voided]
        for row in sorted(hires, key=lambda row: (row.occurred_at or row.recorded_at, row.seq)):
            yield Row(job_id=row.job_id, freelancer_id=row.freelancer_id, occurred_at=row.occurred_at)

    def open_spends(self, proposal_ids: list[str], whose: str | None) -> Iterable[Row]:
        is_of_all = whose is not None and not proposal_ids
        own = [] if not is_of_all else [row["proposal_id"] for row in self.proposals_of_freelancer(whose, None)]
        for row in self._spends([*proposal_ids, *own]):
            if whose not in {None, row.freelancer_id}:
                continue
            boost = 0 if row.boost_returned else row.boost
            rest = boost + (0 if row.base_returned else row.base)
            closures = [one for one in self._tables.closures if _concerns(one, row)]
            waits = [
                one for one in closures if one.settled and ("late-settlement", _late(one, row)) in self._tables.due
            ]
            if not rest or any(one.settled and one not in waits for one in closures):
                continue
            due = [one.due_at for one in self._tables.due if one.key in {str(c.decision_seq) for c in closures}]
            hire = self._tables.hires.get(row.job_id)
            yield Row(
                proposal_id=row.proposal_id,
                freelancer_id=row.freelancer_id,
                job_id=row.job_id,
                occurred_at=row.occurred_at,
                withdrawn_at=row.withdrawn_at,
                connects=rest,
                boost=boost,
                closing_at=min((one.closed_at for one in closures), default=None),
                hired_at=None if hire is None else hire.first_hired_at,
                due_at=min(due, default=None),
            )

    def known_as(self, name: str) -> Iterable[Row]:
        on_job = [*self._tables.spends, *self._tables.closures, *self._tables.hires]
        yield Row(
            proposal=name in self._tables.spends,
            job=any(row.job_id == name for row in on_job),
            freelancer=bool(self._changes(name)) or bool(self._mentioned(f"f:{name}")),
        )

    def refusals_of_freelancer(self, name: str, most: int, looked_at: int) -> Iterable[Row]:
        named = [self._tables.decisions[seq] for seq in sorted(self._mentioned(f"f:{name}"))[-looked_at:]]
        refused = [one for one in named if one.outcome in {"declined", "withheld"} and one.kind != "settlement"]
        return [Row(seq=one.seq) for one in sorted(refused, key=lambda one: -one.seq)[:most]]

    def last_batch(self) -> Iterable[Row]:
        rows = sorted(self._tables.batches, key=lambda row: row.batch_no)
        for row in rows[-1:]:
            yield Row(
                batch_no=row.batch_no,
                last_seq=row.last_seq,
                business_time=row.business_time,
                recorded_at=row.recorded_at,
                quiet_seconds=0.0,
            )

    # Help.

    def _changes(self, whose: str) -> list[ChangeRow]:
        rows = [row for row in self._tables.changes if row.freelancer_id == whose]
        return sorted(rows, key=lambda row: row.version)

    def _charges(self, whose: str) -> list[ChargeRow]:
        rows = [row for row in self._tables.charges if row.freelancer_id == whose]
        return sorted(rows, key=lambda row: row.decision_seq)

    def _spends(self, proposal_ids: Iterable[str]) -> list[SpendRow]:
        wanted = set(proposal_ids)
        rows = [row for row in self._tables.spends if row.proposal_id in wanted]
        return sorted(rows, key=lambda row: row.decision_seq)

    def _added(self, row: DecisionRow) -> dict[str, Any]:
        """The plan that added the event that a decision answers, or ordered it, if one did."""
        named = dict.fromkeys(("added", "added_at", "added_by", "added_why", "source", "line", "ordered_by"))
        if row.kind == "correction":
            trigger = next(it for it in self._tables.replayed if it.decision_seq == row.seq)
            plan = self._tables.replays[trigger.plan]
            return {**named, "ordered_by": [plan.actor, plan.why]}
        for one in self._tables.decisions if row.topic is not None and row.offset is None else ():
            if one.kind == "added" and (one.topic, one.event_id) == (row.topic, row.event_id):
                trigger = next(it for it in self._tables.replayed if it.decision_seq == one.seq)
                plan = self._tables.replays[trigger.plan]
                by = {"added": one.seq, "added_at": one.recorded_at, "added_by": plan.actor, "added_why": plan.why}
                return {**named, **by, "source": trigger.source, "line": trigger.line}
        return named

    def _mentioned(self, key: str) -> list[int]:
        return [row.seq for row in self._tables.mentions if row.key == key]

    def _settled_by(self, places: list[tuple[Any, ...]]) -> Iterable[Row]:
        for row in self._tables.decisions:
            if row.kind == "settlement" and _place(row) in places:
                yield Row(seq=row.seq)


def _place(row: DecisionRow | ClosureRow) -> tuple[Any, ...]:
    return (row.topic, row.incarnation, row.partition, row.offset, row.event_id if row.offset is None else None)


def _concerns(closure: ClosureRow, spend: SpendRow) -> bool:
    is_of_it = closure.job_id == spend.job_id and AGAIN not in closure.closure
    return is_of_it and closure.closed_at >= spend.occurred_at


def _late(closure: ClosureRow, spend: SpendRow) -> str:
    return f"{closure.decision_seq}/{spend.proposal_id}"


def _by_decision(changes: Iterable[ChangeRow]) -> Iterable[Row]:
    for row in sorted(changes, key=lambda row: (row.decision_seq, row.ordinal)):
        yield Row(**{name: getattr(row, name) for name in _CHANGE})


def _rows(rows: Iterable[Any], row: type[Any]) -> Iterable[Row]:
    return (Row(**{name: getattr(one, name) for name in row._fields}) for one in rows)


class MemoryConnection:
    """Answers the statements of asking.sql, by their text."""

    def __init__(self, store: MemoryStore) -> None:
        self._asked = _Asked(store.tables)

    async def fetch(self, statement: str, *arguments: object) -> list[Row]:
        """All rows that a statement finds."""
        find: Callable[..., Iterable[Row]] = getattr(self._asked, _NAMES[statement])
        return list(find(*arguments))

    async def fetchrow(self, statement: str, *arguments: object) -> Row | None:
        """The first of them."""
        return next(iter(await self.fetch(statement, *arguments)), None)


def connection_to(store: MemoryStore) -> Connection:
    """A connection to a ledger in memory, for the queries of commands."""
    return cast("Connection", MemoryConnection(store))
