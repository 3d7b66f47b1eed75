"""The check that plans are as they were commanded, and each booked trigger of one has its decision, and the reverse."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("state.sql")
_STATES: Final[Mapping[str, str]] = {"plan-begun": "open", "plan-stopped": "stopped", "plan-closed": "closed"}


class PlanCommand(NamedTuple):
    """A decision that began, stopped or closed a plan; `triggers` is None unless it began it."""

    seq: int
    reason: str
    plan: str
    actor: str
    why: str
    triggers: int | None


class StoredPlan(NamedTuple):
    """A plan as its row has it, or should have it."""

    triggers: int | None
    actor: str
    why: str
    state: str
    decision_seq: int


class Wrong(NamedTuple):
    """What is wrong, in words, in which table."""

    table: str
    words: str


async def wrong_replays(connection: Connection) -> list[Wrong]:
    """What is wrong with the plans and what became of their triggers, at one instant."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        without_decision = await connection.fetch(_SQL["replayed_without_decision"])
        without_trigger = await connection.fetch(_SQL["added_without_replayed"])
        out_of_plan = await connection.fetch(_SQL["replayed_out_of_plan"])
        voided = await connection.fetch(_SQL["voided_wrong"])
        amended = await connection.fetch(_SQL["amended_wrong"])
        commands = [PlanCommand(*row) for row in await connection.fetch(_SQL["replays_commanded"])]
        stored = {row["plan"]: StoredPlan(*tuple(row)[1:]) for row in await connection.fetch(_SQL["replays"])}
    return [
        *(
            Wrong(
                "replayed",
                f"{row['plan']}, trigger {row['number']}: decision {row['decision_seq']} is not on its event, "
                "and corrects none on it",
            )
            for row in without_decision
        ),
        *(
            Wrong("replayed", f"decision {row['seq']} is on an added event, or a correction, and no trigger has it")
            for row in without_trigger
        ),
        *(
            Wrong("replayed", f"{row['plan']}, trigger {row['number']}: its plan has no such trigger")
            for row in out_of_plan
        ),
        *(Wrong("voided", _in_words(row["decision_seq"], is_there=row["is_there"])) for row in voided),
        *(Wrong("amended", _in_words(row["decision_seq"], is_there=row["is_there"])) for row in amended),
        *(Wrong("replays", words) for words in compared(stored, expected_plans(commands))),
    ]


def _in_words(seq: int, *, is_there: bool) -> str:
    if is_there:
        return f"decision {seq}: the row is not what a correction made of it"
    return f"decision {seq}: a correction is on it, and the row is missing"


def expected_plans(commands: Iterable[PlanCommand]) -> dict[str, StoredPlan]:
    """The plans after these commands, in their order. One that was stopped is begun again."""
    plans: dict[str, StoredPlan] = {}
    for command in commands:
        state = _STATES[command.reason]
        if (known := plans.get(command.plan)) is not None:
            plans[command.plan] = known._replace(state=state)
        else:
            plans[command.plan] = StoredPlan(command.triggers, command.actor, command.why, state, command.seq)
    return plans


def compared(stored: Mapping[str, StoredPlan], expected: Mapping[str, StoredPlan]) -> Iterable[str]:
    """What is wrong with the stored plans, each in words."""
    for plan in sorted({*stored, *expected}):
        found, wanted = stored.get(plan), expected.get(plan)
        if found is None:
            yield f"{plan}: the plan is missing"
        elif wanted is None:
            yield f"{plan}: the row should not be there: no command began it"
        else:
            yield from (
                f"{plan}: {name} is {one}, should be {other}"
                for name, one, other in zip(StoredPlan._fields, found, wanted, strict=True)
                if one != other
            )
