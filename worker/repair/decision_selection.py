"""Which decisions a plan is to correct: from files that name events or decisions, and from a span of time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import msgspec

from schemas.catalogue import INPUT_TOPICS
from worker.errors import UsageError
from worker.futures import in_parts
from worker.ledger.event_key import seen_key
from worker.ledger.tables import DecisionRow, SeenRow
from worker.places import shortened
from worker.plain_text import plain
from worker.queries.selection import Selected, SelectionHeader
from worker.repair.plan import MOST_TRIGGERS
from worker.repair.voiding import NOTHING_DONE, UNKNOWN, Refused, refusal

FOUND: Final = "found"
"""The selection of what a query finds."""
_AT_ONCE: Final = 1_000
_read_header: Final = msgspec.json.Decoder(SelectionHeader).decode
_read_selected: Final = msgspec.json.Decoder(Selected).decode


class Chosen(NamedTuple):
    """A decision that was selected, with the place that names it: a line of a file, 0 if no line does."""

    row: DecisionRow
    source: str
    line: int


class _Named(NamedTuple):
    line: int
    seq: int | None
    topics: Sequence[str]
    event_id: str


class Decided(Protocol):
    """What is asked of the ledger: part of a `Snapshot`."""

    async def seen(self, keys: Sequence[str]) -> list[SeenRow]:
        """Which of these event ids were decided, and by which decision."""
        ...

    async def decisions(self, seqs: Sequence[int]) -> list[DecisionRow]:
        """The decisions of these seqs."""
        ...

    async def sent_again(self, events: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these events, by topic and id, that were sent again after they were decided."""
        ...


class DecisionSelection:
    """Takes what was selected, each decision once; `left` counts what cannot be taken."""

    def __init__(
        self,
        decided: Decided,
        ledger_id: UUID,
        *,
        first: bool = False,
        option: str = "--void",
        refuses: Callable[[DecisionRow], Refused | None] = refusal,
        refuses_named: Callable[[DecisionRow], Refused | None] | None = None,
    ) -> None:
        """With `first` an id that was sent again names the first event; without, it may have been meant otherwise.

        `refuses` says why a decision cannot be taken: by default, why it cannot be voided. Where the event is named and
        not the decision, `refuses_named` says it first.
        """
        self._decided, self._ledger_id, self._first = decided, ledger_id, first
        self._option, self._refuses, self._refuses_named = option, refuses, refuses_named
        self._chosen: dict[int, Chosen] = {}
        self._looked_at: set[int] = set()
        self.nothing_to_do = 0
        """How many decisions changed nothing, so that there is nothing to correct."""
        self.left: Counter[Refused] = Counter()

    def in_order(self) -> list[Chosen]:
        """The decisions that were taken, the latest first."""
        return [self._chosen[seq] for seq in sorted(self._chosen, reverse=True)]

    async def add_file(self, path: Path) -> None:
        """Take the decisions that a file names: `topic/event_id` a line, or what `connects log find` wrote.

        Raises:
            UsageError: it cannot be read, a line names nothing, or it is of another ledger.
            Transient: the ledger is away, here and below.
        """
        source = shortened(path)
        some: list[_Named] = []
        for named in _named_in(path, source, self._ledger_id, self._option):
            some.append(named)
            if len(some) == _AT_ONCE:
                await self._take(source, some)
                some = []
        await self._take(source, some)

    async def add_events(self, source: str, events: Iterable[tuple[int, str, str]]) -> None:
        """Take the decisions on events of a file, each by its line, topic and id; raises as `add_file` does."""
        for some in in_parts([_Named(line, None, (topic,), event_id) for line, topic, event_id in events], _AT_ONCE):
            await self._take(source, some)

    async def add_seqs(self, source: str, seqs: Iterable[int]) -> None:
        """Take decisions by their places in ledger order."""
        await self._take(source, [_Named(0, seq, (), "") for seq in seqs])

    async def _take(self, source: str, some: Sequence[_Named]) -> None:
        places = {**await self._seqs_of(source, some), **{one: one.seq for one in some if one.seq is not None}}
        for one in some:
            if one not in places:
                self._leave(UNKNOWN)
        rows = {row.seq: row for row in await self._decided.decisions(sorted(set(places.values())))} if places else {}
        for one, seq in places.items():
            if seq in self._looked_at:
                continue
            self._looked_at.add(seq)
            row = rows.get(seq)
            refused = UNKNOWN if row is None else self._refusal(row, is_event=one.seq is None)
            if row is None or refused is not None:
                self._leave(refused or UNKNOWN)
                continue
            if len(self._chosen) == MOST_TRIGGERS:
                raise UsageError(
                    f"{source}: more than {MOST_TRIGGERS:,} decisions are selected, and a plan has at most that many: "
                    "select fewer, and the rest after this plan was applied"
                )
            self._chosen[seq] = Chosen(row, source, one.line)

    def _refusal(self, row: DecisionRow, *, is_event: bool) -> Refused | None:
        named = self._refuses_named(row) if is_event and self._refuses_named is not None else None
        return named or self._refuses(row)

    async def _seqs_of(self, source: str, some: Sequence[_Named]) -> dict[_Named, int]:
        """The decisions on the events that are named by their ids.

        Raises:
            UsageError: an id is of several topics, or was sent again.
        """
        keys: dict[str, list[tuple[_Named, str]]] = {}
        for one in some:
            for topic in one.topics:
                keys.setdefault(seen_key(topic, one.event_id), []).append((one, topic))
        found: dict[_Named, tuple[str, int]] = {}
        for key, seq in await self._decided.seen(list(keys)) if keys else ():
            for one, topic in keys[key]:
                if one in found:
                    both = " and ".join(sorted((found[one][0], topic)))
                    event_id = plain(one.event_id)
                    raise UsageError(
                        f"{source}, line {one.line}: events of {both} have the id {event_id}: name one of them, as "
                        f"{topic}/{event_id}"
                    )
                found[one] = (topic, seq)
        if found and not self._first:
            await self._require_sent_once(source, {one: topic for one, (topic, _) in found.items()})
        return {one: seq for one, (_, seq) in found.items()}

    async def _require_sent_once(self, source: str, found: Mapping[_Named, str]) -> None:
        """Refuse ids that were sent again: a list of what was sent again would name the first, right events."""
        again = await self._decided.sent_again([(topic, one.event_id) for one, topic in found.items()])
        for one, topic in found.items():
            if (topic, one.event_id) in again:
                raise UsageError(
                    f"{source}, line {one.line}: {plain(topic)}/{plain(one.event_id)} was sent again under the same "
                    "id, which changed nothing, and the line names the first event. Take such lines out, or add "
                    "--first to take the first event of each"
                )

    def _leave(self, refused: Refused) -> None:
        if refused == NOTHING_DONE:
            self.nothing_to_do += 1
        else:
            self.left[refused] += 1


def _named_in(path: Path, source: str, ledger_id: UUID, option: str) -> Iterator[_Named]:
    try:
        with path.open(encoding="utf-8") as file:
            is_json: bool | None = None
            for number, text in enumerate(file, 1):
                line = text.strip()
                if not line or line.startswith("#"):
                    continue
                if is_json is None:
                    is_json = line.startswith("{")
                    if is_json:
                        _require_ledger(line, source, ledger_id)
                        continue
                yield _selected(line, source, number) if is_json else _named(line, source, number)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(
            f"{option}: {source} cannot be read: {why}. Give found, a file of `connects verify --selection` or "
            "`connects log find --selection`, or one with topic/event_id on each line"
        ) from None


def _require_ledger(line: str, source: str, ledger_id: UUID) -> None:
    try:
        header = _read_header(line)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{source}: the first line is no header of a selection: {error}") from None
    if header.ledger_id != ledger_id:
        raise UsageError(f"{source}: the selection is of another ledger, {header.ledger_id}; select in this ledger")


def _selected(line: str, source: str, number: int) -> _Named:
    try:
        return _Named(number, _read_selected(line).seq, (), "")
    except msgspec.MsgspecError as error:
        raise UsageError(f"{source}, line {number}: it is no decision of a selection: {error}") from None


def _named(line: str, source: str, number: int) -> _Named:
    topic, slash, event_id = line.partition("/")
    if not slash:
        return _Named(number, None, tuple(INPUT_TOPICS), line)
    if topic not in INPUT_TOPICS:
        raise UsageError(f"{source}, line {number}: no topic is called {plain(topic[:64])}; write topic/event_id")
    return _Named(number, None, (topic,), event_id)
