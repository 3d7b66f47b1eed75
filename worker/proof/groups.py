"""Which recorded decisions answer one trigger: an event and what had waited for it; the parts of a cycle start."""

from typing import Final

from worker.proof.recorded import Recorded

Group = list[Recorded]
_MAY_BELONG: Final = frozenset({"clock", "follow-up"})


class Groups:
    """Collects decisions, in ledger order, into groups: the decisions on one trigger, which have places side by side.

    A follow-up of a parked decision answers a trigger of its own: it was released. Any other one belongs to the event
    that it had waited for, or stands alone if that is another wallet's.
    """

    def __init__(self) -> None:
        self.parked: dict[int, Recorded] = {}
        """The triggers that wait, by seq, until they are released."""
        self._group: Group = []

    def before(self, recorded: Recorded) -> Group | None:
        """The group before the next decision, if it is complete with that: decide it, then `add` the decision."""
        group = self._group
        if not group or self._belongs(recorded):
            return None
        self._group = []
        return group

    def add(self, recorded: Recorded) -> None:
        """Take the next decision."""
        self._group.append(recorded)
        if recorded.row.outcome == "parked":
            self.parked[recorded.row.seq] = recorded

    def last(self) -> Group | None:
        """Return the last group, which is complete."""
        group, self._group = self._group, []
        return group or None

    def waited(self, group: Group) -> Recorded | None:
        """The parked decision that a group follows, if it was released."""
        row = group[0].row
        return self.parked.get(row.follows) if row.kind == "follow-up" and row.follows is not None else None

    def released(self, group: Group) -> None:
        """Let go of the trigger that a group has decided now."""
        if (follows := group[0].row.follows) is not None:
            self.parked.pop(follows, None)

    def _belongs(self, recorded: Recorded) -> bool:
        row = recorded.row
        if row.kind not in _MAY_BELONG:
            return False
        first, is_next = self._group[0].row, row.seq == self._group[-1].row.seq + 1
        if row.kind == "clock":
            return is_next and first.kind == "clock" and _are_of_one_start(recorded, self._group[0])
        if row.follows in self.parked:
            return is_next and first.kind == "follow-up" and first.follows == row.follows
        # Of other wallets' events that waited for the proposal the pass knows nothing: there may be gaps between these.
        # A proposal that was refused made nothing count: the same one may be submitted by another wallet later.
        submitted = first.topic == "proposal-submitted" and first.outcome in {"applied", "recorded"}
        of_another = first.kind == "follow-up" and first.follows not in self.parked  # its proposal is another wallet's
        return is_next or ((submitted or of_another) and row.proposal_id == first.proposal_id)


def is_cycle(recorded: Recorded) -> bool:
    """Whether a decision of the clock is a part of a cycle start; an event may have any id, that of one too."""
    row = recorded.row
    if row.topic is not None or row.outcome == "parked":
        return False
    return (row.event_id or "").startswith(("cycle:", "renewal:"))


def _are_of_one_start(one: Recorded, other: Recorded) -> bool:
    return (is_cycle(one) and is_cycle(other)) and (one.row.freelancer_id, one.row.business_time) == (
        other.row.freelancer_id,
        other.row.business_time,
    )
