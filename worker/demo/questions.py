"""The first part of the demo: questions of freelancers, and the answers, as `connects explain` prints them."""

from datetime import datetime, timedelta

from rich.console import Console

from worker.demo.cases import Case
from worker.demo.seed_cases import SEED_CASES
from worker.demo.view import Answer, answered
from worker.domain.policy import PolicyBook
from worker.queries import questions
from worker.queries.asking import snapshot
from worker.queries.explained import Explanation
from worker.queries.history import history
from worker.queries.questions import Grounds
from worker.replies.known import Asked


async def answer_questions(
    database_url: str, policies: PolicyBook, asked: datetime, grace_seconds: float, console: Console
) -> list[Case]:
    """Ask the ledger and show its answers; return the cases whose answer is not what the rules say.

    `grace_seconds` is that of the worker.
    """
    wrong = []
    for number, case in enumerate(SEED_CASES, start=1):
        answer = await _answer(database_url, policies, asked, grace_seconds, case)
        console.print(answered(number, answer, asked))
        if not answer.is_as_expected:
            wrong.append(case)
    return wrong


async def _answer(database_url: str, policies: PolicyBook, asked: datetime, grace_seconds: float, case: Case) -> Answer:
    async with snapshot(database_url) as connection:
        grounds = Grounds(policies, grace_seconds, asked - timedelta(seconds=grace_seconds))
        found, _, reply = await questions.answered(connection, *_asked(case), grounds)
        wallet = await history(connection, case.freelancer_id, last=1)
    return Answer(case, _reason(found), reply.reply or reply.headline, 0 if wallet is None else wallet.balance)


def _reason(found: Explanation) -> str:
    """What the rules said last: why something waits, or else the last decision's reason."""
    if found.open:
        return found.open[0].reason
    if found.awaited:
        return found.awaited[0].reason
    return found.decisions[-1].reason if found.decisions else "no-decision"


def _asked(case: Case) -> tuple[Asked, str]:
    if isinstance(case.about, int):
        return "event", case.event_id(case.about)
    if case.about == "freelancer":
        return "freelancer", case.freelancer_id
    return "proposal", case.proposal_id
