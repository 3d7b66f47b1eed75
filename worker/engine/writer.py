"""The one writer: takes triggers in ledger order, decides them in memory, and commits them in batches.

While PostgreSQL commits one batch the next is read and decided. Nothing leaves before its commit is acknowledged; after
any failure everything in memory is thrown away and read again (the recovery path belongs to the service).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from worker.domain.model import Cause
from worker.domain.policy import Policy, PolicyBook
from worker.engine.chunk_work import ChunkWork, Ended
from worker.engine.commands import Answer, Command, command_decision
from worker.engine.commit import Commits, Committed
from worker.engine.correcting import Result, Trying, look_ahead
from worker.engine.decide_loop import DecideLoop, Ground, Read, TermFlags
from worker.engine.narrowing import Narrowing
from worker.engine.releasing import Releasing
from worker.engine.replaying import Chunk, Deviates, Replaying
from worker.engine.republishing import Republished, messages_again
from worker.errors import BatchRefused, Bug
from worker.fault_points import FaultPoint, no_fault
from worker.kafka.holds import Hold
from worker.kafka.records import InputRecord, Position, TopicPartition
from worker.ledger.batch import Conditions
from worker.ledger.leaves import as_text
from worker.ledger.parked import ParkedKey
from worker.ledger.store import Store
from worker.ledger.tables import AnswerRow, HoldRow, PolicyRow, ReplayedRow, ReplayRow
from worker.release import release
from worker.repair.plan import Correction, Trigger

_log = structlog.get_logger(__name__)
_MOST_SECONDS_OF_A_CHUNK: Final = 20.0
"""Then it is answered with what is left, which is asked for again: other commands come in between."""


class Writer:
    """Decides and commits, in one ledger order, for one epoch: by `DecideLoop` and `Commits`, again if one fails."""

    def __init__(
        self,
        store: Store,
        epoch: int,
        policies: PolicyBook,
        grace: timedelta,
        max_clock_skew: timedelta,
        now: Callable[[], datetime],
        on_commit: Callable[[Committed], None],
        batch_size: int,
        reached: FaultPoint = no_fault,
        new_commits: Callable[..., Commits] = Commits,
    ) -> None:
        self._store, self._policies, self._on_commit = store, policies, on_commit
        self._failing: dict[object, str] = {}
        self._narrowing = Narrowing(batch_size, self._failing)
        self._flags = TermFlags()
        self._ground = Ground(store, policies, grace, now, reached, self._failing, self._narrowing, self._flags)
        versions = [policy.version for policy in policies.versions]
        seconds = (grace.total_seconds(), max_clock_skew.total_seconds())
        self._now, self._skew_seconds = now, max_clock_skew.total_seconds()
        self._commits = new_commits(store, Conditions(epoch, release(), *seconds, versions), now, self._committed)
        self._loop = DecideLoop(self._ground, self._commits, Read(None, {}, {}))
        self.holds: dict[TopicPartition, Hold] = {}
        """What is on hold, by place, as the ledger has it or the next batch stores it."""
        self._waited: dict[ParkedKey, int] = {}
        """How much waited behind what is being released, before anything of it was decided."""
        self._chunk: Chunk | None = None
        """The chunk of a plan that is under way."""

    async def open(self) -> None:
        """Begin from what the ledger holds; anything in memory is forgotten."""
        await self._commits.open()
        self.holds = await self._store.holds()
        read = Read(self._commits.tail.business_time, await self._store.decided_ahead(), await self._store.parked())
        self._loop = DecideLoop(self._ground, self._commits, read)
        await self._loop.open()

    # What is true now.

    @property
    def positions(self) -> dict[TopicPartition, Position]:
        """Where reading of each partition goes on."""
        return self._commits.positions.known

    @property
    def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs, each with the event ids of the clock work that waits there."""
        return self._loop.parked

    @property
    def business_time(self) -> datetime | None:
        """The instant up to which all that happened is decided; None: nothing has been read yet."""
        return self._loop.business_time

    @property
    def not_made_again(self) -> int:
        """How many messages were published before the ledger was restored and are not made again yet."""
        return self._commits.holding_back.not_made_again

    @property
    def is_committing(self) -> bool:
        """Whether a batch is under way to the ledger: the next one has to wait for it."""
        return self._commits.is_committing

    @property
    def is_stopping(self) -> bool:
        """Whether the worker is to end."""
        return self._flags.is_stopping

    @property
    def left_records(self) -> bool:
        """Whether records that were handed over are left with it: their positions have not moved."""
        return self._flags.left_records

    def clock_due(self, instant: datetime | None) -> int:
        """How many pieces of clock work are due and not done (of those in memory)."""
        return 0 if instant is None else self._loop.builder.schedule.count_due(instant)

    def failed(self) -> bool:
        """Whether a commit begun behind our back has ended badly; `settle_down` then raises what it was."""
        return self._commits.failed()

    # What the service calls.

    def stop(self) -> None:
        """Leave what would take long from now on, clock work and releases: the worker is to end."""
        self._flags.is_stopping = True

    def stop_clock(self, *, stopped: bool) -> None:
        """Let business time stand still, and nothing be due, while this host's clock cannot be trusted."""
        self._flags.clock_is_stopped = stopped

    async def read_ahead(self, records: Sequence[InputRecord]) -> None:
        """Begin to load what these records, taken live, ask about. Clock work may be done before `decide` waits for it.

        Raises:
            Transient: the database is away.
        """
        await self._loop.prefetch.begin(records, self.business_time)

    async def decide(self, records: Sequence[InputRecord]) -> None:
        """Decide these records, and the clock work due before each. Full batches go; `flush` sends the rest.

        Nothing, once records are left: positions would move past them.
        """
        while not self.left_records:
            try:
                await self._loop.decide(records)
            except (Bug, BatchRefused) as failure:
                left = records[self._loop.done :]
                records = [*await self._start_over(failure), *left]
            else:
                return

    async def pass_time(self, frontier: datetime | None, *, seconds: float, least_seconds: float | None = None) -> bool:
        """Let business time pass up to `frontier` and do what became due, for about `seconds`; True when it is done.

        With `least_seconds` no longer than that once the batch before is committed, and what was read ahead is loaded:
        then the next batch may go.
        """
        try:
            return await self._loop.pass_time(frontier, seconds=seconds, least_seconds=least_seconds)
        except (Bug, BatchRefused) as failure:
            await self.decide(await self._start_over(failure))
            return False

    async def flush(self) -> None:
        """Begin to commit what has been decided."""
        await self._in_spite_of_refusals(self.cut)

    async def advance(self, offsets: dict[TopicPartition, int]) -> None:
        """Store positions that moved over records of no account, and business time; a batch without decisions."""
        self._loop.freshen()
        for source, offset in offsets.items() if not self.left_records else ():
            self._commits.positions.move(source, offset)
        await self._in_spite_of_refusals(lambda: self.cut(even_empty=True))

    def add_policy(self, policy: Policy) -> None:
        """Have the next batch store a policy version, for good."""
        document = msgspec.json.encode(policy.stored_document).decode()
        batch = self._loop.builder.open_batch.batch
        row = PolicyRow(policy.version, policy.effective_from, policy.hash, document, batch.batch_no)
        batch.policies.append(row)

    def drop_outbox_through(self, seq: int) -> None:
        """Have the next batch drop outbox rows that the relay's marker is past."""
        self._commits.drop_outbox_through(seq)

    async def settle_down(self) -> None:
        """Wait until everything begun is committed.

        Raises:
            LeadershipLost: the epoch is over.
            Transient: the database is away, or the outcome of a commit is unknown: take the recovery path.
            OperatorNeeded: PostgreSQL refused a commit, and not for what one event holds.
        """
        while True:
            try:
                await self._commits.settle()
            except BatchRefused as refusal:
                await self.decide(await self._start_over(refusal))
                await self.flush()
            else:
                return

    async def _in_spite_of_refusals(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step that waits for the commit before; if that was refused, decide it again, then take the step."""
        while True:
            try:
                await step()
            except BatchRefused as refusal:
                await self.decide(await self._start_over(refusal))
            else:
                return

    async def cut(self, *, even_empty: bool = False) -> None:
        """Begin to commit what is decided; one batch at a time, and nothing is done if there is nothing.

        Raises:
            BatchRefused, LeadershipLost, Transient: of the batch before.
        """
        await self._loop.cut(even_empty=even_empty)

    def abandon(self) -> None:
        """Let go of what is being read ahead: what is in memory is not used any more."""
        self._loop.prefetch.abandon()

    # What commands ask.

    def set_position(self, position: Position) -> None:
        """Have the next batch store this position."""
        self._commits.positions.set(position)

    def hold(self, place: TopicPartition, *, lets_time_go_on: bool, actor: str, why: str) -> None:
        """Have the next batch store a hold, which the next decision, the command's, is about."""
        self._loop.freshen()
        open_batch = self._loop.builder.open_batch
        self.holds[place] = Hold(place, lets_time_go_on, actor, why, open_batch.batch.recorded_at)
        open_batch.batch.holds.append(HoldRow(*place, lets_time_go_on, open_batch.next_seq))

    def resume(self, place: TopicPartition) -> None:
        """Have the next batch end a hold."""
        del self.holds[place]
        self._loop.builder.open_batch.batch.holds_ended.append(place)

    async def release(self, key: ParkedKey) -> tuple[int, int, str | None]:
        """Decide what waits behind a stopped wallet or job, in ledger order, until it fails again or we are to stop.

        Gives how many were decided, how many still wait, and the failure that stopped it.
        """
        while True:
            try:
                await self.commit_all()  # what was parked just now is in the ledger then
                if key not in self._waited:  # before a failure batches of it may have been committed
                    self._waited[key] = await self._store.count_parked_triggers(key)
                failure = await Releasing(self, self._loop, self._store, self._policies, self._failing).release(key)
                if key not in self.parked:
                    return self._waited[key], 0, None
                await self.commit_all()
                left = await self._store.count_parked_triggers(key)
            except (Bug, BatchRefused) as error:
                await self.decide(await self._start_over(error))
            else:
                return self._waited[key] - left, left, failure

    async def replay_of(self, plan: str) -> ReplayRow | None:
        """The plan of this hash, if it was begun."""
        return await self._store.replay(plan)

    async def ledger_id(self) -> str:
        """Which ledger it is."""
        return await self._store.ledger_id()

    @property
    def policies(self) -> PolicyBook:
        """The policy versions that it decides by."""
        return self._policies

    def keep_replay(self, plan: str, header: str, triggers: int, actor: str, why: str) -> None:
        """Have the next batch store a plan that begins with the next decision, the command's."""
        self._loop.freshen()
        open_batch = self._loop.builder.open_batch
        named = (plan, header, triggers, actor, why, open_batch.batch.recorded_at)
        open_batch.batch.replays.append(ReplayRow(*named, "open", open_batch.next_seq))

    def change_replay(self, replay: ReplayRow) -> None:
        """Have the next batch store another state of a plan."""
        self._loop.builder.open_batch.batch.replays.append(replay)

    async def replay(
        self, plan: str, triggers: Sequence[Trigger], cause: Cause, *, give_only: bool, seconds: float | None = None
    ) -> list[ReplayedRow] | None:
        """Decide triggers of a plan in their order, and commit them; returns what became of each that has an answer.

        One that brings something else than was planned is not booked. Ends early when the worker is to end. With
        `seconds` it ends after about so long, and gives None if some are left: asked the same again, it goes on; but it
        ends early when that takes so long that who asked, or a later command, might not wait for it.
        """
        until = None if seconds is None else time.monotonic() + seconds
        chunk = self._chunk_of(plan, triggers, cause, give_only=give_only)
        ended: Ended = "more"
        while True:
            try:
                if ended == "later" and time.monotonic() - chunk.begun < _MOST_SECONDS_OF_A_CHUNK:
                    await self.cut(even_empty=bool(self._loop.builder.open_batch.batch.replayed))
                    return None
                await self.commit_all()
                if ended == "more":
                    replaying = Replaying(self._store, self._loop, self._policies, chunk, self._failing)
                    ended = await ChunkWork(self, replaying, chunk, self._loop).go_on(until)
                    continue
            except (Bug, BatchRefused, Deviates) as failure:
                await self.decide(await self._start_over(failure))
                ended = "more"
            else:
                self._chunk = None
                answered = await self._store.replayed(plan, [one.number for one in triggers])
                return list(answered.values())

    def _chunk_of(self, plan: str, triggers: Sequence[Trigger], cause: Cause, *, give_only: bool) -> Chunk:
        """The chunk that a command carries: the one that is under way, if it is of that command."""
        if self._chunk is None or (self._chunk.plan, self._chunk.cause) != (plan, cause):
            latest = self._now() + timedelta(seconds=self._skew_seconds)
            self._chunk = Chunk(plan, triggers, cause, give_only, latest)
        return self._chunk

    async def look_ahead(self, corrections: Sequence[Correction]) -> None:
        """Have read together what these corrections of a plan will ask about, before each is tried.

        Raises:
            Transient: the database is away.
        """
        await self._loop.cache.make_room()
        await look_ahead(corrections, self._store, self._loop.cache, self.business_time)

    async def try_corrections(self, corrections: Sequence[Correction], cause: Cause) -> list[Result]:
        """Decide corrections in order, for a plan, and commit those that book something; returns what each came to."""
        results: dict[int, Result] = {}
        while True:
            try:
                await self.commit_all()
                trying = Trying(self._loop, self._store, self._policies, self._failing)
                await trying.run_all(corrections, cause, results, self)
                await self.commit_all()
            except (Bug, BatchRefused) as failure:
                await self.decide(await self._start_over(failure))
            else:
                return [results[correction.number] for correction in corrections]

    async def republish(self, wallets: Sequence[tuple[str, int]], command: str) -> Republished:
        """Have the next batch, the command's, publish the messages of these wallets once more, each from a version on.

        Everything that was decided is committed before: so the newest version of each wallet is the last one.
        """
        while True:
            try:
                await self.commit_all()
            except (Bug, BatchRefused) as failure:
                await self.decide(await self._start_over(failure))
            else:
                break
        messages, republished = await messages_again(self._store, wallets, command)
        self._loop.builder.open_batch.republish(messages)
        return republished

    async def commit_all(self) -> None:
        """Commit what is decided, and what became of a plan's triggers, and wait until it is in the ledger."""
        await self.cut(even_empty=bool(self._loop.builder.open_batch.batch.replayed))
        await self._commits.settle()

    async def forget(self) -> None:
        """Throw away what a command that failed left behind; what was decided before it is decided again."""
        await self.decide(await self._start_over(None))

    async def answer(self, command: Command, answer: Answer) -> bool:
        """Commit the command's decision and answer, with what it set in motion.

        False if PostgreSQL refused what was decided up to here: nothing was written, so it is to be carried out again.
        """
        self._loop.freshen()
        decision = command_decision(command, answer, self._loop.builder.open_batch.next_seq)
        decision.business_time = self.business_time
        self._loop.builder.open_batch.add(decision)
        told = {"outcome": answer.outcome, "reason": answer.reason, **answer.told}
        asked = (command.name, as_text(command.arguments), command.actor, command.why, command.asked_at)
        self._loop.builder.open_batch.batch.answers.append(AnswerRow(command.id, as_text(told), *asked))
        try:
            await self.commit_all()
        except BatchRefused as refusal:
            await self.decide(await self._start_over(refusal))
            return False
        self._waited.clear()
        return True

    # When something fails.

    def _committed(self, committed: Committed) -> None:
        self._loop.cache.committed_through = committed.batch.last_seq
        self._narrowing.committed(committed.batch)
        self._loop.resize()
        self._on_commit(committed)

    async def _start_over(self, failure: Bug | BatchRefused | Deviates | None) -> list[InputRecord]:
        """Forget everything not committed, to decide it again, knowing more of what fails; gives its records."""
        again = list(self._commits.pending)
        self.abandon()
        if isinstance(failure, Bug):
            _log.error("a rule failed: its wallet or job is parked", error=str(failure), exc_info=failure.__cause__)
        if not isinstance(failure, BatchRefused):
            try:
                await self._commits.settle()
            except BatchRefused as refusal:
                failure = refusal
        if isinstance(failure, BatchRefused):
            open_batch, records = self._commits.refused()
            self._narrowing.refused(open_batch.batch, open_batch.triggers, failure)
            if self._chunk is not None:
                self._chunk.note_refused(open_batch.triggers)
            again = [*records, *again]
        await self.open()
        return again
