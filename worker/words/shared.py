"""Words for reasons that rules of several families share."""

from worker.domain.decisions import Facts, Subject
from worker.words.operators import Words
from worker.words.phrases import connects, named, on_day, the_job, the_proposal


def repeats(what: str, fact: str = "") -> Words:
    """Make words for a repeat of something that happens once: its name, and the fact with its id."""

    def already_granted(_outcome: str, _subject: Subject, facts: Facts) -> str:
        it, amount = f"{what}{named(facts, fact)}", facts.get("connects")
        if isinstance(amount, int) and amount > 0:
            brought = f"{it} brought {connects(amount)}{on_day(facts, 'granted_at')} already"
            return f"Nothing granted: {brought}; it is granted only once."
        return f"Nothing done: {it} was booked{on_day(facts, 'granted_at')} already. It counts once."

    return already_granted


def nothing_to_do(_outcome: str, _subject: Subject, _facts: Facts) -> str:
    """An amount of 0."""
    return "Nothing to do: the amount is 0 Connects."


def insufficient_balance(_outcome: str, subject: Subject, facts: Facts) -> str:
    """Fewer Connects than requested."""
    available = facts.get("drawable", facts.get("balance"))
    there = "fewer were available" if available is None else f"only {available} were available"
    if subject.proposal_id is not None:
        return f"Not booked: {the_proposal(subject)} costs {size(facts)}, but {there}."
    return f"Not booked: {size(facts)} would be deducted, but {there}."


def free_from_invitation(outcome: str, subject: Subject, _facts: Facts) -> str:
    """Nothing was spent."""
    if outcome == "declined":
        return f"Nothing to return: {the_proposal(subject)} answered an invitation and cost no Connects."
    return f"No Connects spent: {the_proposal(subject)} answers an invitation to {the_job(subject)}, which is free."


def cost_nothing(outcome: str, subject: Subject, _facts: Facts) -> str:
    """Nothing was spent."""
    if outcome == "declined":
        return f"Nothing to return: {the_proposal(subject)} cost no Connects."
    return f"No Connects spent: {the_proposal(subject)} for {the_job(subject)} costs none."


def size(facts: Facts) -> str:
    """The number of Connects, in or out."""
    amount = facts.get("connects")
    return connects(abs(amount) if isinstance(amount, int) else amount)
