"""The decisions of others that a freelancer's decisions met: who was first, who won a key, whose proposal it is."""

from collections.abc import Iterable
from contextlib import suppress

from schemas.reading import InvalidEvent, read_event
from worker.bundle.format import DecisionLine, ProvedDecision
from worker.domain.model import Grant, Spend, natural_key_of
from worker.domain.rule_catalogue import RULES
from worker.domain.rules.replaces import REPLACE
from worker.domain.rules.undos import UNDO
from worker.ledger.replaced import content_in
from worker.ledger.store import FirstDecision
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.proof.following import spend_made


class Met:
    """Keeps those that are named by another decision, and no others."""

    def __init__(self) -> None:
        self.there = set[int]()
        """The decisions that the bundle has."""
        self._wanted = set[int]()
        self._kept: dict[int, tuple[DecisionRow, list[ChangeRow]]] = {}
        self._replaced: dict[int, list[tuple[int, bytes]]] = {}
        """The content that events were given by corrections so far, by the decision on each."""
        self._by: dict[int, int] = {}
        """The decision whose event each of these corrections gave other content."""

    def want(self, value: ProvedDecision, seq: int) -> None:
        """Want what this decision met."""
        self.there.add(seq)
        self._wanted |= {met for met in (value.first, value.grant, value.spend) if met is not None}

    def missing(self) -> set[int]:
        """Decisions that are wanted, and not there."""
        return self._wanted - self.there

    def read(self, lines: Iterable[tuple[int, DecisionLine]]) -> None:
        """Keep the decisions of others; the events that released ones answer are there too."""
        for _, read in lines:
            if read.row.seq in self._wanted or read.row.outcome == "parked":
                self._kept[read.row.seq] = (read.row, read.changes)

    def keep(self, read: DecisionLine) -> None:
        """Keep a decision of the freelancer's, if a later one met it."""
        if read.row.seq in self._wanted:
            self._kept[read.row.seq] = (read.row, read.changes)
        row = read.row
        if row.outcome != "applied" or row.follows is None:
            return
        if row.rule == REPLACE:
            self._by[row.seq] = row.follows
            self._replaced.setdefault(row.follows, []).append((row.seq, content_in(row.payload)))
        elif row.rule == UNDO and row.follows in self._by:
            self._replaced[self._by[row.follows]].append((row.seq, content_in(row.payload)))

    def first(self, seq: int | None) -> FirstDecision | None:
        """The first decision on an event id."""
        if seq is None or seq not in self._kept:
            return None
        row = self._kept[seq][0]
        place = (row.incarnation, row.partition, row.offset)
        replaced = tuple(self._replaced.get(row.seq, ()))
        return FirstDecision(row.seq, row.topic or "", *place, row.payload, row.event_id or "", replaced)

    def grant(self, seq: int | None, topic: str | None) -> Grant | None:
        """The grant that has the natural key of an event of this topic."""
        if seq is None or seq not in self._kept or topic is None or topic not in RULES:
            return None
        for change in self._kept[seq][1]:
            if change.natural_key is not None and change.rule == RULES[topic].id:
                key = (change.rule, natural_key_of(change.natural_key)[0], change.freelancer_id)
                return Grant(*key, change.occurred_at, change.delta, change.decision_seq)
        return None

    def spend(self, seq: int | None) -> Spend | None:
        """The spend of a proposal that another wallet submitted, as it was when it was new."""
        if seq is None or seq not in self._kept:
            return None
        row = self._kept[seq][0]
        event_of = row
        if row.payload is None and row.follows in self._kept:  # it was parked: that decision has the event
            event_of = self._kept[row.follows][0]
        if event_of.payload is None or row.topic != "proposal-submitted":
            return None
        with suppress(InvalidEvent):
            return spend_made(row, read_event(row.topic, event_of.payload))
        return None
