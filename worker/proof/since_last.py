"""`connects verify --since-last`: what was written since the last head that was verified, in a few seconds.

All hashes since then; the lots, debts and balances of every wallet that changed since then; and a share of these
wallets decided again from their beginning, with all their rows.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID
from zlib import crc32

import msgspec

from worker.domain.model import FreelancerId
from worker.errors import UsageError
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.checks import Check, Finding, Ground
from worker.proof.hash_check import check_between, check_of
from worker.proof.hashed_rows import Bounds, batch_at, last_batch
from worker.proof.hashes import HASHES, head_of
from worker.proof.heads import Head
from worker.proof.ledger_checks import AGAIN, findings_of_freelancer
from worker.proof.movements_check import MOVEMENTS, wallets_that_disagree
from worker.proof.reader import PostgresReader
from worker.proof.reading import reading
from worker.queries.asking import ledger_id_of

_SQL: Final = load("state.sql")
_STEP: Final = 20_000
"""How many decisions' freelancers are known at a time."""
_PARTS: Final = 2**32


class VerifiedHead(msgspec.Struct, frozen=True):
    """How far a ledger was verified, as the state file has it."""

    ledger_id: UUID
    batch_no: int
    seq: int
    head: str
    """The log after that batch, as `connects verify --head` prints it."""
    verified_at: datetime


class Covered(msgspec.Struct):
    """What was checked: decisions after `after` up to `through`, and of the wallets that these are about how many."""

    after: int = 0
    through: int = 0
    verified_at: datetime | None = None
    wallets: int = 0
    share: float = 0.0
    wallets_again: int = 0
    decisions_again: int = 0


def read_state(path: Path) -> VerifiedHead | None:
    """The head that was verified last; None: there is no such file.

    Raises:
        UsageError: the file is something else.
        OSError: it cannot be read.
    """
    if not path.parent.is_dir():
        raise UsageError(f"--state: there is no folder {path.parent} for the file {path.name}")
    try:
        found = msgspec.json.decode(path.read_bytes(), type=VerifiedHead)
        Head.parsed(found.head)
    except FileNotFoundError:
        return None
    except ValueError:
        raise UsageError(f"--state: {path} is not a file that `connects verify --since-last` wrote") from None
    return found


def write_state(path: Path, head: VerifiedHead) -> None:
    """Keep a head: the file is the old one or the new one, never a part.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(msgspec.json.encode(head) + b"\n")
    unfinished.replace(path)


class SinceLast:
    """The checks since a head. `covered` says what they cover; `verified` is the head to keep if nothing is found."""

    def __init__(self, before: VerifiedHead | None, share: float, path: Path) -> None:
        self._before, self._path = before, path
        self.covered = Covered(share=share)
        self.verified: VerifiedHead | None = None

    def checks(self) -> list[Check]:
        """The hashes first, which fix the end."""
        return [Check(HASHES, self._hashes), Check(MOVEMENTS, self._movements), Check(AGAIN, self._again)]

    async def _hashes(self, ground: Ground) -> AsyncIterator[Finding]:
        async with reading(ground.database_url) as connection:
            last, before = await last_batch(connection), self._before
            ledger_id = await ledger_id_of(connection)
            if before is not None and before.ledger_id != ledger_id:
                raise UsageError(
                    f"--state: {self._path} is of the ledger {before.ledger_id}, and this one is {ledger_id}. "
                    "Name another file."
                )
            self.covered.verified_at = None if before is None else before.verified_at
            self.covered.after = 0 if before is None else before.seq
            if last is None or (before is not None and last.batch_no < before.batch_no):
                if before is not None:
                    words = f"the ledger ends before the head that was verified on {before.verified_at:%Y-%m-%d %H:%M}"
                    yield Finding(HASHES, "truncated", words, "batches", None, before.batch_no)
                return
            known = None if before is None else await batch_at(connection, before.batch_no)
            if before is not None and (known is None or head_of(known) != Head.parsed(before.head)):
                words = "the batch has another head than when it was verified: it was rewritten"
                yield Finding(HASHES, "tampered", words, "batches", None, before.batch_no)
                return
            self.covered.through = min(last.last_seq, await PostgresReader(connection).end())
            found = Bounds(known, last)
            async for finding in check_between(connection, found, await check_of(connection, found), ground.progress):
                yield finding
            self.verified = VerifiedHead(
                ledger_id, last.batch_no, last.last_seq, str(head_of(last)), datetime.now(UTC).replace(microsecond=0)
            )

    async def _movements(self, ground: Ground) -> AsyncIterator[Finding]:
        ground.progress.begin(MOVEMENTS, 0, "wallets")
        async with reading(ground.database_url) as connection:
            async for names in self._touched(connection):
                async for finding in wallets_that_disagree(connection, names):
                    yield finding
                self.covered.wallets += len(names)
                ground.progress.advance(len(names))

    async def _again(self, ground: Ground) -> AsyncIterator[Finding]:
        done = set[str]()
        async with reading(ground.database_url) as connection:
            async for names in self._touched(connection):
                for name in self._chosen(names):
                    if name in done:
                        continue
                    done.add(name)
                    found, tally = await findings_of_freelancer(connection, FreelancerId(name), ground)
                    self.covered.wallets_again += 1
                    self.covered.decisions_again += tally.decisions + tally.inputs
                    for finding in found:
                        yield finding

    async def _touched(self, connection: Connection) -> AsyncIterator[list[str]]:
        """The freelancers of what was decided since then; one that is named in two parts comes twice."""
        for after in range(self.covered.after, self.covered.through, _STEP):
            through = min(after + _STEP, self.covered.through)
            rows = await connection.fetch(_SQL["wallets_touched"], after, through)
            if rows:
                yield [row["freelancer_id"] for row in rows]

    def _chosen(self, names: Iterable[str]) -> Iterable[str]:
        """The share that is decided again, by a hash with the place where the ledger ends: another share each time."""
        salt = str(self.covered.through)
        return (name for name in names if crc32(f"{salt}/{name}".encode()) < self.covered.share * _PARTS)
