"""What the leaves of the Merkle log are over: the one byte form of a decision with its changes, and of a batch.

A batch appends a leaf for each of its decisions, in ledger order, then one for itself. The first leaf of a log is over
what was there before it. Ids can be guessed, so each leaf has a salt, which follows from the batch's: who is shown one
decision with its salt learns nothing of those beside it.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from operator import attrgetter
from struct import pack
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from worker.ledger.merkle import EMPTY, Log, leaf_hash
from worker.ledger.tables import AnswerRow, BatchRow, ChangeRow, DecisionRow, PolicyRow

SALT_BYTES: Final = 16
_BEFORE, _DECISION, _BATCH = b"C", b"D", b"B"
_NOT_IN_HEADER: Final = ("chain_head", "salt", "log_size", "log_peaks", "leaf_marks")
"""Columns of a batch that follow from its leaves, or went into each of them."""
HEADER_COLUMNS: Final = tuple(name for name in BatchRow._fields if name not in _NOT_IN_HEADER)
"""The columns of a batch that its leaf is over."""
_HEADER: Final = [BatchRow._fields.index(name) for name in HEADER_COLUMNS]

MARKS_OF_DECISION: Final = ("decisions", "changes")
MARKS_OF_BATCH: Final = ("batches", "policies", "commands")
"""The tables that marks are over: those of each decision, then those of the batch."""
_MARK_BYTES: Final = 4

_encode = msgspec.msgpack.Encoder().encode
_seq_of = attrgetter("decision_seq")
_NO_CHANGES: Final = _encode([])


def log_after(chain_head: bytes, policies: Iterable[PolicyRow] = ()) -> Log:
    """The log of one leaf that follows a hash chain: over its last head, and the policy versions stored until then.

    The head of an empty ledger is 32 zero bytes.
    """
    return EMPTY.extended([first_leaf(chain_head, policies)])


def first_leaf(chain_head: bytes, policies: Iterable[PolicyRow]) -> bytes:
    """The hash of the first leaf of a log: over the last head of the chain before it, and the policy versions then."""
    stored = sorted(tuple(row) for row in policies)
    return leaf_hash(_BEFORE, _encode((chain_head, stored)))


def decision_leaf(salt: bytes, decision: DecisionRow, changes: Sequence[ChangeRow]) -> bytes:
    """The hash of a decision's leaf, with the leaf's own salt and all changes of the decision in order."""
    return leaf_hash(_DECISION, salt, _encode(decision), _encode(changes))


def batch_leaf(salt: bytes, row: BatchRow, policies: Sequence[PolicyRow], answers: Sequence[AnswerRow]) -> bytes:
    """The hash of a batch's leaf, with the leaf's own salt; of `row` only `HEADER_COLUMNS` count."""
    return leaf_hash(_BATCH, salt, *_parts_of_batch(row, policies, answers))


def _parts_of_batch(row: BatchRow, policies: Sequence[PolicyRow], answers: Sequence[AnswerRow]) -> tuple[bytes, ...]:
    return _encode([row[place] for place in _HEADER]), _encode(policies), _encode(answers)


class Leaves(NamedTuple):
    """What a batch appends: the hashes of its leaves, and the marks of what each of them is over.

    A hash says that something in its batch is not what it was, the marks say what: CRC-32 of each decision and of its
    changes, in ledger order, then of the header, the policies and the answers, 4 bytes each.
    """

    hashes: list[bytes]
    marks: bytes


def marked_decisions(marks: bytes | None) -> int | None:
    """How many decisions a batch with these marks has; None: these are no marks of a batch."""
    per_batch, per_decision = (_MARK_BYTES * len(tables) for tables in (MARKS_OF_BATCH, MARKS_OF_DECISION))
    decisions, rest = divmod(len(marks or b"") - per_batch, per_decision)
    return None if rest or decisions < 0 else decisions


def leaves_of(
    row: BatchRow,
    decisions: Sequence[DecisionRow],
    changes: Sequence[ChangeRow],
    policies: Sequence[PolicyRow],
    answers: Sequence[AnswerRow],
) -> Leaves:
    """The leaves that a batch appends. All its rows are in ledger order, the policies in the order of versions."""
    if row.salt is None:
        raise ValueError(f"batch {row.batch_no} has no salt")
    hashes, marks, place, salt_of = list[bytes](), list[int](), 0, _salts(row.salt)
    seqs = [*map(_seq_of, changes), None]
    for decision in decisions:
        start, seq = place, decision.seq
        while seqs[place] == seq:
            place += 1
        encoded, moved = _encode(decision), _encode(changes[start:place]) if place > start else _NO_CHANGES
        hashes.append(leaf_hash(_DECISION, salt_of(seq), encoded, moved))
        marks += (crc32(encoded), crc32(moved))
    parts_of_batch = _parts_of_batch(row, policies, answers)
    hashes.append(leaf_hash(_BATCH, salt_of(0), *parts_of_batch))
    marks += map(crc32, parts_of_batch)
    return Leaves(hashes, pack(f">{len(marks)}I", *marks))


def as_text(document: object) -> str:
    """The one text of a JSON document: of a command's arguments, wherever they are stored with other spaces."""
    return msgspec.json.encode(document).decode()


def leaf_salt(salt: bytes, seq: int) -> bytes:
    """The salt of the leaf of a decision; of a batch's own leaf with 0 as `seq`."""
    return _salts(salt)(seq)


def _salts(salt: bytes) -> Callable[[int], bytes]:
    """The salts of a batch's leaves: the batch's own is hashed in once for all of them."""
    salted = blake2b(digest_size=SALT_BYTES, key=salt)

    def of(seq: int) -> bytes:
        leaf = salted.copy()
        leaf.update(seq.to_bytes(8))
        return leaf.digest()

    return of
