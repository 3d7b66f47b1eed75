"""The check that lots, debts and balances are what the movements make, wallet by wallet, by no rule of any release."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import asyncpg

from worker.futures import in_parts
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.checks import Check, Finding, Ground
from worker.proof.reading import reading
from worker.proof.unreadable import in_words

MOVEMENTS: Final = "movements"
_SQL: Final = load("state.sql")
_WALLETS: Final = 200
"""How many wallets one statement adds up."""


def movements_check() -> Check:
    """The check of all wallets."""

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        ground.progress.begin(MOVEMENTS, 0, "wallets")
        async with reading(ground.database_url) as connection:
            last = ""
            while rows := await connection.fetch(_SQL["wallets_after"], last, _WALLETS):
                names = [row["freelancer_id"] for row in rows]
                async for finding in wallets_that_disagree(connection, names):
                    yield finding
                last = names[-1]
                ground.progress.advance(len(names))

    return Check(MOVEMENTS, run)


async def wallets_that_disagree(connection: Connection, names: Sequence[str]) -> AsyncIterator[Finding]:
    """Of these wallets each lot, debt and balance that its movements do not make; each statement is of one instant."""
    for some in in_parts(names, _WALLETS):
        async for finding in _of_some(connection, some):
            yield finding


async def _of_some(connection: Connection, names: Sequence[str]) -> AsyncIterator[Finding]:
    """The same of as many wallets as one statement adds up; where it cannot, each wallet by itself."""
    try:
        rows = await connection.fetch(_SQL["wallets_that_disagree"], ",".join(names))
    except asyncpg.DataError as error:
        if len(names) == 1:
            words = f"{names[0]}: the movements cannot be added up: {in_words(error)}"
            yield Finding(MOVEMENTS, "inconsistent", words, "changes")
            return
        for some in in_parts(names, -(-len(names) // 2)):
            async for finding in _of_some(connection, some):
                yield finding
        return
    for row in rows:
        words = f"{row['key']}: {row['column']} is {_text(row['is'])}, the movements make {_text(row['should_be'])}"
        yield Finding(MOVEMENTS, "inconsistent", words, row["table"])


def _text(connects: int | None) -> str:
    return "nothing" if connects is None else str(connects)
