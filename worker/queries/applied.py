"""Proposals that cost something, with all that is known of their jobs."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.replies.known import Applied, Closing, Hire

_SQL: Final = load("asking.sql")


async def proposals(connection: Connection, proposal_ids: Iterable[str]) -> list[Applied]:
    """Proposals with all that is known of their jobs, in ledger order."""
    rows = await connection.fetch(_SQL["applications"], list(proposal_ids))
    jobs = sorted({row["job_id"] for row in rows})
    closings: defaultdict[str, list[Closing]] = defaultdict(list)
    for row in await connection.fetch(_SQL["closings_of_jobs"], jobs) if jobs else ():
        job_id, *closing = row
        closings[job_id].append(Closing(*closing))
    hires: defaultdict[str, list[Hire]] = defaultdict(list)
    for row in await connection.fetch(_SQL["hires_of_jobs"], [f"j:{job}" for job in jobs]) if jobs else ():
        hires[row["job_id"]].append(Hire(row["freelancer_id"], row["occurred_at"]))
    return [
        Applied(
            **row,
            closings=[one for one in closings[row["job_id"]] if one.closed_at >= row["spent_at"]],
            hires=hires[row["job_id"]],
        )
        for row in rows
    ]


async def proposals_of_freelancer(connection: Connection, freelancer_id: str) -> list[Applied]:
    """The proposals of a freelancer that cost something, as `proposals` gives them."""
    rows = await connection.fetch(_SQL["proposals_of_freelancer"], freelancer_id, None)
    return await sent_by(connection, freelancer_id, [row[0] for row in rows])


async def sent_by(connection: Connection, freelancer_id: str, sent: Iterable[str]) -> list[Applied]:
    """Of proposals that a freelancer sent those that still are theirs: one that was voided may be another's since."""
    return [one for one in await proposals(connection, sent) if one.freelancer_id == freelancer_id]
