"""The first part of the demo: what freelancers ask, and what the ledger answers, as `connects explain` does."""

from datetime import datetime

from rich.console import Console

from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.local.cases import Case
from worker.local.demo_view import Answer, answered
from worker.local.seed_cases import SEED_CASES
from worker.operations.asking import snapshot
from worker.operations.explain import Explanation, explain_event, explain_freelancer, explain_proposal
from worker.operations.history import history


async def answer_questions(
    database_url: str, policies: PolicyBook, asked: datetime, due_by: datetime, console: Console
) -> list[Case]:
    """Ask the ledger, and show what it says; the cases whose answer is not what the rules say.

    `due_by`: a cycle that starts until then should be booked.
    """
    wrong = []
    for number, case in enumerate(SEED_CASES, start=1):
        answer = await _answer(database_url, policies, due_by, case)
        console.print(answered(number, answer, asked))
        if not answer.is_as_expected:
            wrong.append(case)
    return wrong


async def _answer(database_url: str, policies: PolicyBook, due_by: datetime, case: Case) -> Answer:
    async with snapshot(database_url) as connection:
        found = await _explained(connection, policies, due_by, case)
        wallet = await history(connection, case.freelancer_id, last=1)
    balance = 0 if wallet is None else wallet.balance
    if found.open:
        return Answer(case, found.open[0].reason, found.open[0].explanation, balance)
    if found.awaited:
        return Answer(case, found.awaited[0].reason, found.awaited[0].explanation, balance)
    if not found.decisions:
        return Answer(case, "no-decision", "Nothing was decided.", balance)
    last = found.decisions[-1]
    return Answer(case, last.reason, last.explanation, balance)


async def _explained(connection: Connection, policies: PolicyBook, due_by: datetime, case: Case) -> Explanation:
    if isinstance(case.about, int):
        return await explain_event(connection, case.event_id(case.about), policies=policies)
    if case.about == "freelancer":
        return await explain_freelancer(connection, case.freelancer_id, policies, due_by)
    return await explain_proposal(connection, case.proposal_id)
