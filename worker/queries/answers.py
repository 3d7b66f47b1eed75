"""Whose values a standing answer has: what `connects answer --freelancer` asks of the ledger."""

from typing import Final

from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.queries.replies import last_proposals, member_of, under_rules
from worker.replies.theirs import MOST_DECISIONS, is_about_proposals, rules_of
from worker.replies.topics import Asking

MOST_PROPOSALS: Final = 100
"""The last proposals of a freelancer that a standing answer looks at."""


async def asking_of(connection: Connection, freelancer_id: str, policies: PolicyBook, topic: str) -> Asking | None:
    """A freelancer's own values for a topic, and the policy in force at business time; None if no event named them.

    Only what the topic is about is read, so that an answer takes no longer for somebody with a long history.
    """
    member = await member_of(connection, freelancer_id, policies)
    if member is None:
        return None
    policy = policies.versions[-1] if member.read_until is None else policies.in_force(member.read_until)
    if is_about_proposals(topic):
        last = await last_proposals(connection, freelancer_id, MOST_PROPOSALS)
        return Asking(policy, member, None, last.decisions, last.applied, earlier_proposals=last.earlier)
    rules = rules_of(topic)
    decisions = await under_rules(connection, freelancer_id, rules, MOST_DECISIONS) if rules else ()
    return Asking(policy, member, None, decisions)
