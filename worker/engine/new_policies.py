"""Policy versions that the ledger does not have yet."""

from worker.domain.policy import PolicyBook
from worker.domain.policy_use import compare
from worker.engine.writer import Writer
from worker.errors import PolicyRefused
from worker.ledger.store import Store


async def check_policies(store: Store, writer: Writer, policies: PolicyBook) -> None:
    """Have the writer store new policy versions. Those once used are immutable; a new one begins after business time.

    Raises:
        PolicyRefused: a version contradicts the ledger.
        Transient: the database is away.
    """
    use = compare(policies, await store.stored_policies(), writer.business_time)
    if use.refusal is not None:
        raise PolicyRefused(use.refusal)
    for policy in policies.versions:
        if policy.version in use.new:
            writer.add_policy(policy)
