"""The worker as a process, with faults that production knows nothing of. Run it as `python -m tests.kit.killable`.

Environment, in addition to the worker's own DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, CONNECTS_TOPIC_PREFIX,
CONNECTS_SETTLEMENT_GRACE, CONNECTS_BATCH_SIZE, CONNECTS_POLICY and CONNECTS_CLOCK:

TEST_HOLDER             its name in the table leader
TEST_KILL_AT            <point>:<n>            end by SIGKILL when the point is passed for the n-th time
TEST_STOP_AT            <point>:<n>            stop by SIGSTOP there, once
TEST_HANG_AT            <point>:<n>            block the event loop there, for good
TEST_FAIL_AT            <point>:<n>            fail there once, as a Kafka transaction does that the broker aborted
TEST_KILL_AFTER         <decisions>:<point>    end by SIGKILL at that point once it has committed that many decisions
TEST_BUG_WHILE          a file: while it exists every rule fails for freelancers `f-bug...` and jobs `j-bug...`
TEST_PASSES_OVER_JOBS   with `withdrawn`: jobs with a withdrawn proposal are not settled (see passing_over.py)
TEST_RETURNS_BOOSTS     with `twice`: a boost that was outbid comes back again with its job (see wrong_release.py)
TEST_KAFKA_ERRORS       <seed>:<every>:<file>  while the file exists, each so-manieth request to Kafka goes wrong
TEST_PATIENCE_SECONDS   how long it waits for an answer of PostgreSQL (see impatience.py)
CONNECTS_MAX_DATABASE_CONNECTIONS   how many connections it has at most
CONNECTS_TRACING        set: spans go where OTEL_EXPORTER_OTLP_ENDPOINT says
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

import tests.kit.impatience  # noqa: F401 - first: others take their limits from what it changes
from tests.kit.kafka_errors import answer_wrongly
from tests.kit.logs import log_plainly
from tests.kit.passing_over import of_a_job_with_a_withdrawn_proposal, pass_over
from tests.kit.wrong_release import return_boosts_twice
from worker.domain.policy import PolicyBook
from worker.domain.policy_file import read_policy
from worker.engine import clock_work, decide_loop
from worker.engine import unpark as release
from worker.engine.commit import Committed
from worker.engine.service import Service
from worker.engine.term import WorkerConfig
from worker.kafka.output.transactions import TransactionFailed
from worker.ledger import at_once
from worker.ledger.budget import MOST_BY_DEFAULT
from worker.running import traced
from worker.wall_clock import wall_clock

POLICY_FILE = Path(__file__).parents[2] / "policies" / "connects.toml"
POINTS = (
    "after-read",
    "after-epoch-check",
    "inside-copy",
    "before-commit",
    "after-commit",
    "before-kafka-transaction",
    "inside-kafka-transaction",
    "after-kafka-commit",
)
"""Points that every worker at work passes; `between-chunks` also when much clock work is due."""


@dataclass(frozen=True)
class Place:
    point: str
    passing: int

    @classmethod
    def read(cls, text: str | None) -> "Place | None":
        if text is None:
            return None
        point, _, passing = text.partition(":")
        return cls(point, int(passing))


class Faults:
    """Counts the points that are passed, and strikes at the one that was set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.kill_at = Place.read(environment.get("TEST_KILL_AT"))
        self.stop_at = Place.read(environment.get("TEST_STOP_AT"))
        self.hang_at = Place.read(environment.get("TEST_HANG_AT"))
        self.fail_at = Place.read(environment.get("TEST_FAIL_AT"))
        decisions, _, self.kill_point = environment.get("TEST_KILL_AFTER", "-1:").partition(":")
        self.kill_after = int(decisions)
        self.decisions = 0
        self.passings: Counter[str] = Counter()

    def reached(self, point: str) -> None:
        self.passings[point] += 1
        here = Place(point, self.passings[point])
        if here == self.kill_at or (0 <= self.kill_after <= self.decisions and point == self.kill_point):
            strike(point, signal.SIGKILL)
        if here == self.stop_at:
            strike(point, signal.SIGSTOP)
        if here == self.hang_at:
            hang(point)
        if here == self.fail_at:
            raise TransactionFailed(f"made to fail at {point}")

    def may_strike(self, point: str) -> bool:
        """Whether this point is one that was set."""
        return point == self.kill_point or point in {place.point for place in (self.kill_at, self.stop_at) if place}

    def committed(self, committed: Committed) -> None:
        self.decisions += len(committed.batch.decisions)


def strike(point: str, what: signal.Signals) -> None:
    sys.stdout.write(f"\nat {point}: {what.name}\n")
    sys.stdout.flush()
    os.kill(os.getpid(), what)


def hang(point: str) -> None:
    sys.stdout.write(f"\nat {point}: hanging\n")
    sys.stdout.flush()
    while True:
        pass


def pass_a_point_inside_copy(faults: Faults) -> None:
    """When rows are copied into the ledger, the server has begun the COPY and waits for the rest of it."""
    copy = asyncpg.Connection.copy_records_to_table

    def passing(records: Any) -> Iterator[Any]:  # noqa: ANN401
        for number, record in enumerate(records):
            if number == len(records) // 2:
                faults.reached("inside-copy")
            yield record

    async def copy_passing(self: Any, table: str, *, records: Any, **rest: Any) -> Any:  # noqa: ANN401
        return await copy(self, table, records=passing(list(records)), **rest)

    asyncpg.Connection.copy_records_to_table = copy_passing  # type: ignore[method-assign]


def fail_in_rules_while(file: Path) -> None:
    """Put a bug into every rule, for some."""

    def buggy(rule: Any) -> Any:  # noqa: ANN401
        def decide(state: Any, trigger: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
            about = _named(trigger)
            if any(name.startswith(("f-bug", "j-bug")) for name in about) and file.exists():
                raise ZeroDivisionError(f"a bug made for {', '.join(about)}")
            return rule(state, trigger, *rest, **named)

        return decide

    for module in (decide_loop, clock_work, release):
        for name in ("decide_event", "decide_settlement", "decide_expiry", "decide_cycle"):
            if hasattr(module, name):
                setattr(module, name, buggy(getattr(module, name)))


def _named(trigger: Any) -> list[str]:  # noqa: ANN401
    """Whom the failing rule is about: the job of a job's own events, otherwise the freelancer."""
    event = getattr(trigger, "event", None)
    if event is not None:
        job_event = trigger.topic in {"job-closed", "hire-made"}
        return [event.job_id if job_event else event.freelancer_id]
    if (spend := getattr(trigger, "spend", None)) is not None:
        return [spend.freelancer_id]
    about = trigger.membership if hasattr(trigger, "membership") else trigger.lot
    return [about.freelancer_id]


def the_policies(environment: Mapping[str, str]) -> PolicyBook:
    file = Path(environment.get("CONNECTS_POLICY", POLICY_FILE))
    return read_policy(file.read_text(encoding="utf-8"), str(file))


def variables_of_tracing(environment: Mapping[str, str]) -> dict[str, str] | None:
    if "CONNECTS_TRACING" not in environment:
        return None
    return {name: value for name, value in environment.items() if name.startswith("OTEL_")}


async def main(environment: Mapping[str, str]) -> None:
    log_plainly()
    faults = Faults(environment)
    if faults.may_strike("inside-copy"):
        at_once.SMALL_ROWS = 0  # small batches are written without COPY
        pass_a_point_inside_copy(faults)
    if wrong := environment.get("TEST_KAFKA_ERRORS"):
        seed, every, while_file = wrong.split(":", 2)
        answer_wrongly(int(seed), int(every), Path(while_file))
    if file := environment.get("TEST_BUG_WHILE"):
        fail_in_rules_while(Path(file))
    if environment.get("TEST_PASSES_OVER_JOBS") == "withdrawn":
        pass_over(of_a_job_with_a_withdrawn_proposal)
    if environment.get("TEST_RETURNS_BOOSTS") == "twice":
        return_boosts_twice()
    config = WorkerConfig(
        kafka={"bootstrap_servers": environment["KAFKA_BOOTSTRAP_SERVERS"]},
        database_url=environment["DATABASE_URL"],
        policies=the_policies(environment),
        topic_prefix=environment["CONNECTS_TOPIC_PREFIX"],
        group_id=f"{environment['CONNECTS_TOPIC_PREFIX']}worker",
        grace=timedelta(seconds=float(environment.get("CONNECTS_SETTLEMENT_GRACE", "30"))),
        max_clock_skew=timedelta(minutes=5),
        batch_size=int(environment.get("CONNECTS_BATCH_SIZE", "2000")),
        clock=wall_clock(environment.get("CONNECTS_CLOCK")),
        holder=environment["TEST_HOLDER"],
        simulated_time="CONNECTS_CLOCK" in environment,
        most_connections=int(environment.get("CONNECTS_MAX_DATABASE_CONNECTIONS", MOST_BY_DEFAULT)),
    )
    with traced(config, variables_of_tracing(environment)) as traced_config:
        service = Service(traced_config, faults.committed, faults.reached)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, service.stop)
        await service.run()
    sys.stdout.write("\nended in order\n")


if __name__ == "__main__":
    asyncio.run(main(os.environ))
