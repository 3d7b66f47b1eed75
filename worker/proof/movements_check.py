"""The check that lots, debts and balances are what the movements make, wallet by wallet, by no rule of any release."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.checks import Check, Finding, Ground
from worker.queries.asking import connected

MOVEMENTS: Final = "movements"
_SQL: Final = load("state.sql")
_WALLETS: Final = 200
"""How many wallets one statement adds up."""


def movements_check() -> Check:
    """The check of all wallets."""

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        ground.progress.begin(MOVEMENTS, 0, "wallets")
        async with connected(ground.database_url) as connection:
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
    for first in range(0, len(names), _WALLETS):
        for row in await connection.fetch(_SQL["wallets_that_disagree"], ",".join(names[first : first + _WALLETS])):
            words = f"{row['key']}: {row['column']} is {_text(row['is'])}, the movements make {_text(row['should_be'])}"
            yield Finding(MOVEMENTS, "inconsistent", words, row["table"])


def _text(connects: int | None) -> str:
    return "nothing" if connects is None else str(connects)
