"""Whose values a standing answer has: what `connects answer --freelancer` asks of the ledger."""

from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.queries.explain import explain_freelancer
from worker.queries.replies import member_of, proposals, proposals_of_freelancer
from worker.replies.topics import Asking


async def asking_of(connection: Connection, freelancer_id: str, policies: PolicyBook) -> Asking | None:
    """A freelancer's own values, and the policy in force at business time; None, if no event ever named them."""
    member = await member_of(connection, freelancer_id, policies)
    if member is None:
        return None
    found = await explain_freelancer(connection, freelancer_id, policies, policies.versions[0].effective_from)
    applied = await proposals(connection, await proposals_of_freelancer(connection, freelancer_id))
    policy = policies.versions[-1] if member.read_until is None else policies.in_force(member.read_until)
    return Asking(policy, member, None, found.decisions, applied)
