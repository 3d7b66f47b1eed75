"""Spends of other parts' wallets, as the decisions of a part meet them, and what of this part waits for them."""

from collections.abc import Container

from worker.domain.model import FreelancerId, ProposalId
from worker.domain.rules.undone import UndoneTold
from worker.domain.rules.voids import ToVoid
from worker.domain.state import Awaited, State
from worker.proof.recorded import Recorded


class OthersSpends:
    """Has in the state of a part the spends of other parts' wallets that its decisions name, while these stand."""

    def __init__(self, state: State, mine: Container[FreelancerId]) -> None:
        self._state, self._mine = state, mine
        self._of_others: set[ProposalId] = set()
        """Proposals whose spends are of wallets of other parts."""
        self._met: dict[ProposalId, dict[int, Awaited]] = {}
        """This part's withdrawals and outbids that met such a spend, by decision: they wait once that is void."""

    def meet_if_there(self, awaited: Awaited) -> None:
        """Note what names a proposal, if that is another wallet's."""
        if awaited.proposal_id in self._of_others:
            self.meet(awaited)

    def take_in(self, recorded: Recorded) -> None:
        """Let the spend be there that another wallet made of this proposal; one that was voided is not."""
        name, spend, state = recorded.row.proposal_id, recorded.spend, self._state
        if name is not None and name in self._of_others:
            self._of_others.discard(name)
            known = state.spends.pop(name, None)
            if spend is None or known is None or spend.decision_seq != known.decision_seq:
                self._let_wait_again(name)
        if spend is not None and spend.proposal_id not in state.spends:
            self._of_others.add(spend.proposal_id)
            state.spends[spend.proposal_id] = spend

    def meet(self, awaited: Awaited) -> None:
        """Note what named a proposal of another wallet."""
        self._met.setdefault(awaited.proposal_id, {})[awaited.decision_seq] = awaited

    def _let_wait_again(self, name: ProposalId) -> None:
        """Let wait for a proposal, in ledger order, what met a spend of it that was voided, as the void did."""
        waiting = {awaited.decision_seq: awaited for awaited in self._state.awaiting.get(name, ())}
        waiting |= self._met.pop(name, {})
        if waiting:
            self._state.awaiting[name] = [waiting[seq] for seq in sorted(waiting)]

    def tell_no_more(self, what: ToVoid) -> None:
        """Let a withdrawal or an outbid that is voided wait for no other part's spend to be void."""
        (told,) = what.awaited
        self._met.get(told.proposal_id, {}).pop(told.decision_seq, None)
        self._leave_to_others(told.proposal_id, is_there=what.is_mismatch)

    def tell_again(self, what: UndoneTold) -> None:
        """Let one that counts again meet the spend of another part, as before it was voided."""
        name = what.awaited.proposal_id
        self._leave_to_others(name, is_there=what.is_mismatch)
        if what.is_mismatch and name in self._of_others:
            self.meet(what.awaited)
        elif what.is_mismatch and name not in self._state.spends:
            self._state.await_proposal(what.awaited)  # that its proposal came is not known here

    def _leave_to_others(self, name: ProposalId, *, is_there: bool) -> None:
        """Let the spend of another part be gone if it was voided."""
        if name in self._of_others and not is_there:
            self._of_others.discard(name)
            self._state.spends.pop(name, None)
            self._let_wait_again(name)

    def awaited_here(self, name: ProposalId) -> list[Awaited]:
        """What waits for a proposal and is decided again here; a void lets wait what other parts' freelancers sent."""
        if (known := self._state.awaiting.get(name)) is None:
            return []
        waiting = self._state.awaiting[name] = [one for one in known if one.freelancer_id in self._mine]
        return waiting
