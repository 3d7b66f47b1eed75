"""What is in a bundle: its entries, the values that they hold, and how these are written as JSON.

A row of the ledger is an object with the columns' names. Hashes and salts are hexadecimal, other bytes base64, instants
RFC 3339 in UTC. An object with a field that is not known here is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar, get_type_hints

import msgspec

from worker.ledger.leaves import HEADER_COLUMNS
from worker.ledger.tables import AnswerRow, BatchRow, ChangeRow, ChargeRow, DecisionRow, LotRow, PolicyRow

FORMAT: Final = 1
"""The format of bundles that this release writes and reads."""

DECISIONS: Final = "decisions.jsonl"
OTHERS: Final = "others.jsonl"
BATCHES: Final = "batches.jsonl"
PAGE: Final = "page.txt"
BUNDLE: Final = "bundle.json"
ENTRIES: Final = (DECISIONS, OTHERS, BATCHES, PAGE, BUNDLE)
"""Every entry, in the order of the file."""

Row = TypeVar("Row", bound=tuple[Any, ...])


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle is about. Of a freelancer, and of an event that concerns one, decisions can be decided again."""

    freelancer: str | None = None
    event: str | None = None
    job: str | None = None

    def __str__(self) -> str:
        if self.event is not None:
            return f"event {self.event}" + (f" of freelancer {self.freelancer}" if self.freelancer is not None else "")
        return f"freelancer {self.freelancer}" if self.freelancer is not None else f"job {self.job}"


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An older head, and the hashes that prove that its log is the beginning of this one."""

    head: str
    proof: list[str]


class FirstLeaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the first leaf of the log is over: the last head of the hash chain before it, and the policies by then."""

    chain_head: str
    policies: list[Any]
    proof: list[str]


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bundle is: written last, when everything in it is known. `head` is SIZE:HEX, as `verify` prints it."""

    format: int
    exported_by: str
    """The release that exported it."""
    subject: Subject
    head: str
    through_seq: int
    """The last place in ledger order that was exported from."""
    first_leaf: FirstLeaf
    since: Since | None
    decisions: int
    others: int
    batches: int


class _Proved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something with its place in the log. Without one it is older than the log: then no proof is there."""

    index: int | None
    salt: str | None
    proof: list[str]


class ProvedBatch(_Proved, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A batch: by which settings it was decided, the policy versions that it stored, the commands that it answered."""

    batch: Any
    policies: list[Any]
    answers: list[Any]


class ProvedDecision(_Proved, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A decision with all its changes, and what else deciding it again needs.

    `first`, `grant` and `spend` are decisions of others that this one met, by their seq: who was first to use its event
    id, won its natural key, or made the spend of its proposal. `lots` are those that its changes opened, `charge` is
    what it requested. No hash is over these two: they are what deciding again compares.
    """

    decision: Any
    changes: list[Any]
    first: int | None = None
    grant: int | None = None
    spend: int | None = None
    lots: list[Any] = []
    charge: Any = None


def _fields_of(row: Callable[..., Row], names: Sequence[str]) -> list[tuple[str, Any]]:
    types = get_type_hints(row)
    return [(name, types[name]) for name in names]


class Rows:
    """Reads and writes the rows of one table as objects with these columns; the others are None."""

    def __init__(self, row: Any, names: Sequence[str] | None = None) -> None:  # noqa: ANN401 - a class of rows
        self._row, self._names = row, tuple(names or row._fields)
        self._struct = msgspec.defstruct(row.__name__, _fields_of(row, self._names), forbid_unknown_fields=True)

    def written(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """A row as an object."""
        return {name: getattr(row, name) for name in self._names}

    def read(self, found: Any) -> Any:  # noqa: ANN401 - a row of the class that was given
        """A row from an object.

        Raises:
            msgspec.ValidationError: it has another shape.
        """
        read = msgspec.convert(found, self._struct, builtin_types=())
        return self._row(**{name: getattr(read, name, None) for name in self._row._fields})


DECISION: Final = Rows(DecisionRow)
CHANGE: Final = Rows(ChangeRow)
POLICY: Final = Rows(PolicyRow)
ANSWER: Final = Rows(AnswerRow)
LOT: Final = Rows(LotRow, [name for name in LotRow._fields if name not in {"freelancer_id", "remaining", "open"}])
CHARGE: Final = Rows(ChargeRow, [name for name in ChargeRow._fields if name not in {"freelancer_id", "status"}])
"""Lots and charges without their owner, who is the subject, and without what became of them since."""
HEADER: Final = Rows(BatchRow, HEADER_COLUMNS)

encode: Final = msgspec.json.Encoder().encode
read_bundle: Final = msgspec.json.Decoder(Bundle).decode
_read_decision: Final = msgspec.json.Decoder(ProvedDecision).decode
_read_batch: Final = msgspec.json.Decoder(ProvedBatch).decode


class DecisionLine(NamedTuple):
    """A line of decisions, read. The lots and the charge name no owner, and nothing that became of them since."""

    value: ProvedDecision
    row: DecisionRow
    changes: list[ChangeRow]
    lots: list[LotRow]
    charge: ChargeRow | None


class BatchLine(NamedTuple):
    """A line of batches, read; what is not in a batch's leaf is None."""

    value: ProvedBatch
    row: BatchRow
    policies: list[PolicyRow]
    answers: list[AnswerRow]


def read_decision(line: bytes) -> DecisionLine:
    """Read a line of decisions.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: it is not one.
    """
    value = _read_decision(line)
    changes, lots = [CHANGE.read(change) for change in value.changes], [LOT.read(lot) for lot in value.lots]
    charge = None if value.charge is None else CHARGE.read(value.charge)
    return DecisionLine(value, DECISION.read(value.decision), changes, lots, charge)


def read_batch(line: bytes) -> BatchLine:
    """Read a line of batches.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: it is not one.
    """
    value = _read_batch(line)
    policies, answers = [POLICY.read(policy) for policy in value.policies], [ANSWER.read(one) for one in value.answers]
    return BatchLine(value, HEADER.read(value.batch), policies, answers)
