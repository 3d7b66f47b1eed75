"""The ledger's tables in memory, with the keys and conditions that PostgreSQL holds them to."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from worker.domain.state import Amended, Due, Voided
from worker.errors import WorkerError
from worker.kafka.holds import ALL_PARTITIONS
from worker.ledger.tables import (
    AwaitingRow,
    BatchRow,
    ChangeRow,
    ChargeRow,
    ClosureRow,
    DeadLetterRow,
    DecisionRow,
    HeldRow,
    HireRow,
    HoldRow,
    LotRow,
    MembershipRow,
    MentionRow,
    ParkedRow,
    ParkedTriggerRow,
    PolicyRow,
    ReplayedRow,
    ReplayRow,
    SeenRow,
    SpendRow,
)

R = TypeVar("R", bound=tuple[Any, ...])
Condition = Callable[[Any], bool]
_NO_CHECKS: Final[Mapping[str, Condition]] = MappingProxyType({})
_always: Condition = lambda _row: True  # noqa: E731


class ConstraintBroken(WorkerError):
    """A row that its table must not have; the text names table, constraint and row."""


class Unique(Generic[R]):
    """A constraint: of the rows `where` it holds there is at most one for each value of these columns."""

    def __init__(self, constraint: str, *columns: str, where: Condition = _always) -> None:
        self.constraint, self.columns, self.where = constraint, columns, where
        self.key: Callable[[Any], Any] = attrgetter(*columns)
        self.rows: dict[Any, R] = {}

    def check(self, table: str, rows: Iterable[R]) -> None:
        """Refuse rows of which one is there already, or there twice.

        Raises:
            ConstraintBroken: with the first of them.
        """
        new = set[Any]()
        for row in filter(self.where, rows):
            key = self.key(row)
            if key in self.rows or key in new:
                values = in_words(getattr(row, column) for column in self.columns)
                named = f"Key ({', '.join(self.columns)})={values} already exists."
                raise ConstraintBroken(f"table {table}, constraint {self.constraint}: {named}")
            new.add(key)


class Group(Generic[R]):
    """An index: the rows, of those `where` it holds, that have one value of these columns."""

    def __init__(self, *columns: str, where: Condition = _always) -> None:
        self.where = where
        self.key: Callable[[Any], Any] = attrgetter(*columns)
        self.rows: defaultdict[Any, dict[Any, R]] = defaultdict(dict)

    def of(self, key: object) -> Iterable[R]:
        """The rows with that value, or those values, in the order in which they came."""
        return self.rows[key].values() if key in self.rows else ()


class Table(Generic[R]):
    """Rows by primary key, or what a merge finds them by.

    `checks` are conditions on each row, beside those that its columns' types are.
    """

    def __init__(
        self,
        row: type[R],
        primary: Unique[R],
        *,
        unique: Sequence[Unique[R]] = (),
        groups: Sequence[Group[R]] = (),
        checks: Mapping[str, Condition] = _NO_CHECKS,
        name: str = "",
    ) -> None:
        self.name, self.columns = name or primary.constraint.removesuffix("_pkey"), get_type_hints(row)
        self.unique, self._primary, self._groups = (primary, *unique), primary, groups
        may_be_null = {name for name, hint in self.columns.items() if type(None) in get_args(hint)}
        self.not_null = [name for name in self.columns if name not in may_be_null]
        self.checks = dict(checks)
        for column, hint in self.columns.items():
            if get_origin(hint) is Literal:
                self.checks[f"{self.name}_{column}_check"] = _is_one_of(column, get_args(hint))

    def __iter__(self) -> Iterator[R]:
        return iter(self._primary.rows.values())

    def __contains__(self, key: object) -> bool:
        return key in self._primary.rows

    def __getitem__(self, key: object) -> R:
        return self._primary.rows[key]

    def get(self, key: object) -> R | None:
        """The row of a primary key; None if there is none."""
        return self._primary.rows.get(key)

    def check(self, rows: Sequence[R], *, new: bool) -> None:
        """Refuse rows that break a constraint; `new` ones also if a row of their key is there already.

        Raises:
            ConstraintBroken: with the first of them.
        """
        for row in rows:
            self._check_values(row)
        for unique in self.unique if new else ():
            unique.check(self.name, rows)

    def _check_values(self, row: R) -> None:
        if None in row:
            for column in self.not_null:
                if getattr(row, column) is None:
                    raise ConstraintBroken(f"table {self.name}, column {column}: Failing row contains {in_words(row)}.")
        for constraint, holds in self.checks.items():
            if not holds(row):
                where = f"table {self.name}, constraint {constraint}"
                raise ConstraintBroken(f"{where}: Failing row contains {in_words(row)}.")

    def put(self, rows: Iterable[R]) -> None:
        """Take rows in, each in the place of the one of its key if there is one."""
        for row in rows:
            key = self._primary.key(row)
            if (before := self._primary.rows.get(key)) is not None:
                self._leave_groups(key, before)
                for unique in self.unique:
                    unique.rows.pop(unique.key(before), None)
            for unique in self.unique:
                if unique.where(row):
                    unique.rows[unique.key(row)] = row
            for group in self._groups:
                if group.where(row):
                    group.rows[group.key(row)][key] = row

    def put_missing(self, rows: Iterable[R]) -> None:
        """Take in those of these rows of whose key there is none; what is there already stays as it is."""
        self.put(row for row in rows if self._primary.key(row) not in self._primary.rows)

    def merge(self, rows: Sequence[Any], columns: Sequence[str]) -> None:
        """Take rows in; of those that are there already only these columns change."""
        for row in rows:
            before: Any = self._primary.rows.get(self._primary.key(row))
            self.put([row if before is None else before._replace(**{name: getattr(row, name) for name in columns})])

    def remove(self, keys: Iterable[object]) -> None:
        """Let go of the rows of these primary keys, those that there are."""
        for key in keys:
            if (row := self._primary.rows.get(key)) is not None:
                self._leave_groups(key, row)
                for unique in self.unique:
                    unique.rows.pop(unique.key(row), None)

    def _leave_groups(self, key: object, row: R) -> None:
        for group in self._groups:
            if group.where(row):
                of_key = group.rows[group.key(row)]
                del of_key[key]
                if not of_key:
                    del group.rows[group.key(row)]


def _is_one_of(column: str, values: tuple[object, ...]) -> Condition:
    return lambda row: getattr(row, column) in values


def in_words(values: Iterable[object]) -> str:
    """Values as PostgreSQL words them: `(f-1, null)`."""
    return f"({', '.join('null' if value is None else str(value) for value in values)})"


_PLACE: Final = ("topic", "incarnation", "partition", "offset")


class Tables:
    """Every table of a ledger, empty at first, and what its rows are found by."""

    def __init__(self) -> None:
        self.batches_by_outbox = Unique[BatchRow](
            "batches_outbox_seq_key", "outbox_seq", where=lambda row: row.outbox_seq is not None
        )
        self.batches = Table(BatchRow, Unique("batches_pkey", "batch_no"), unique=[self.batches_by_outbox])
        self._make_history()
        self._make_current_state()
        self._make_what_waits()

    def _make_history(self) -> None:
        self.firsts = Unique[DecisionRow]("decisions_one_first", *_PLACE, where=_is_first)
        self.firsts_of = Group[DecisionRow](*_PLACE[:3], where=_is_first)
        settlements = Unique[DecisionRow](
            "decisions_one_settlement",
            *_PLACE,
            *("proposal_id", "business_time"),
            where=lambda row: row.kind == "settlement" and row.offset is not None,
        )
        of_added = Unique[DecisionRow](
            "decisions_one_settlement_added",
            *("topic", "event_id", "proposal_id", "business_time"),
            where=lambda row: row.kind == "settlement" and row.offset is None,
        )
        added = Unique[DecisionRow]("decisions_one_added", "topic", "event_id", where=lambda row: row.kind == "added")
        undone = Unique[DecisionRow]("decisions_one_undo", "follows", where=lambda row: row.rule == "correct.undo")
        of_our_own = Unique[DecisionRow](
            "decisions_of_our_own",
            "event_id",
            where=lambda row: row.kind in {"clock", "command"} and row.outcome != "parked",
        )
        self.decisions = Table(
            DecisionRow,
            Unique("decisions_pkey", "seq"),
            unique=[self.firsts, added, settlements, of_added, undone, of_our_own],
            groups=[self.firsts_of],
            checks={
                "decisions_added_check": lambda row: row.kind != "added" or _is_without_place(row),
                "decisions_correction_check": lambda row: row.kind != "correction" or _corrects(row),
            },
        )
        self.grants = Unique[ChangeRow](
            "changes_one_grant", "rule", "natural_key", where=lambda row: row.natural_key is not None
        )
        self.changes_of = Group[ChangeRow]("freelancer_id")
        self.changes = Table(
            ChangeRow,
            Unique("changes_pkey", "freelancer_id", "version"),
            unique=[Unique("changes_by_decision", "decision_seq", "ordinal"), self.grants],
            groups=[self.changes_of],
            checks={"changes_delta_check": lambda row: row.delta != 0},
        )
        self.mentions_of = Group[MentionRow]("key")
        self.mentions = Table(MentionRow, Unique("mentions_pkey", "key", "seq"), groups=[self.mentions_of])
        self.seen_events = Table(SeenRow, Unique("seen_events_pkey", "key"))
        self.dead_letters = Table(DeadLetterRow, Unique("dead_letters_pkey", "decision_seq"))
        self.policies = Table(PolicyRow, Unique("policies_pkey", "version"))

    def _make_current_state(self) -> None:
        self.lots_of, self.open_lots = Group[LotRow]("freelancer_id"), Group[LotRow]("open", where=lambda row: row.open)
        self.lots = Table(
            LotRow,
            Unique("lots_pkey", "freelancer_id", "lot_id"),
            groups=[self.lots_of, self.open_lots],
            checks={
                "lots_original_check": lambda row: row.original > 0,
                "lots_check": lambda row: 0 <= row.remaining <= row.original,
                "lots_check1": lambda row: row.open == (row.remaining > 0),
            },
        )
        self.spends_on = Group[SpendRow]("job_id")
        self.owing_of = Group[SpendRow]("freelancer_id", where=lambda row: row.owing)
        self.spends = Table(
            SpendRow,
            Unique("spends_pkey", "proposal_id"),
            groups=[self.spends_on, self.owing_of],
            checks={
                "spends_check": lambda row: 0 <= row.base_debt <= row.base,
                "spends_check1": lambda row: 0 <= row.boost_debt <= row.boost,
                "spends_check2": lambda row: row.owing == (row.base_debt + row.boost_debt > 0),
            },
        )
        self.closures_by_seq = Unique[ClosureRow]("closures_decision_seq_key", "decision_seq")
        self.closures_of = Group[ClosureRow]("job_id")
        self.closures = Table(
            ClosureRow,
            self.closures_by_seq,
            unique=[Unique("closures_pkey", "job_id", "closed_at", "closure")],
            groups=[self.closures_of],
            name="closures",
            checks={
                "closures_place_check": lambda row: [row.incarnation, row.partition, row.offset].count(None) in {0, 3}
            },
        )
        self.hires = Table(HireRow, Unique("hires_pkey", "job_id"))
        self.memberships = Table(
            MembershipRow,
            Unique("memberships_pkey", "freelancer_id"),
            checks={
                "memberships_check": lambda row: (
                    None in {row.cycle_start, row.next_renewal} or row.cycle_start < row.next_renewal
                ),
                "memberships_check1": lambda row: (row.cycle_start is None) == (row.next_renewal is None),
                "memberships_check2": lambda row: (row.earnings_at is None) == (row.earnings_cents is None),
            },
        )
        self.charges = Table(
            ChargeRow,
            Unique("charges_pkey", "freelancer_id", "charge_id"),
            checks={
                "charges_attempt_check": lambda row: row.attempt >= 1,
                "charges_amount_cents_check": lambda row: row.amount_cents >= 0,
            },
        )

    def _make_what_waits(self) -> None:
        self.awaiting_for, self.held_of = Group[AwaitingRow]("proposal_id"), Group[HeldRow]("freelancer_id")
        self.awaiting = Table(
            AwaitingRow, Unique("awaiting_pkey", "proposal_id", "decision_seq"), groups=[self.awaiting_for]
        )
        self.held = Table(HeldRow, Unique("held_pkey", "decision_seq"), groups=[self.held_of])
        self.holds = Table(
            HoldRow,
            Unique("holds_pkey", "topic", "partition"),
            checks={"holds_partition_check": lambda row: row.partition >= ALL_PARTITIONS},
        )
        self.replays = Table(
            ReplayRow,
            Unique("replays_pkey", "plan"),
            checks={"replays_triggers_check": lambda row: row.triggers >= 0},
        )
        self.not_replayed = Group[ReplayedRow]("plan", where=lambda row: row.decision_seq is None)
        of_decisions = Unique[ReplayedRow](
            "replayed_decision", "decision_seq", where=lambda row: row.decision_seq is not None
        )
        self.replayed = Table(
            ReplayedRow,
            Unique("replayed_pkey", "plan", "number"),
            unique=[of_decisions],
            groups=[self.not_replayed],
            checks={"replayed_booked_check": lambda row: (row.outcome == "booked") == (row.decision_seq is not None)},
        )
        self.voided_keys, self.voided_of = Group[Voided]("rule", "natural_key"), Group[Voided]("freelancer_id")
        self.voided = Table(
            Voided,
            Unique("voided_pkey", "decision_seq"),
            unique=[Unique("voided_by", "by_seq")],
            groups=[self.voided_keys, self.voided_of],
        )
        self.amended = Table(
            Amended,
            Unique("amended_pkey", "decision_seq"),
            unique=[Unique("amended_by", "by_seq")],
            checks={"amended_not_taken_check": lambda row: row.not_taken >= 0},
        )
        self.due = Table(Due, Unique("due_pkey", "kind", "key"))
        self.parked = Table(
            ParkedRow,
            Unique("parked_pkey", "scope", "key"),
            checks={"parked_scope_check": lambda row: row.scope in {"wallet", "job"}},
        )
        self.waiting_behind = Group[ParkedTriggerRow]("scope", "key")
        self.parked_triggers = Table(
            ParkedTriggerRow, Unique("parked_triggers_pkey", "decision_seq"), groups=[self.waiting_behind]
        )


def _is_first(row: DecisionRow) -> bool:
    return row.kind == "first"


def _corrects(row: DecisionRow) -> bool:
    return row.topic is None and None not in {row.follows, row.payload}


def _is_without_place(row: DecisionRow) -> bool:
    return None not in {row.topic, row.event_id} and row.incarnation is row.partition is row.offset is None
