"""Every answer in words that a support agent can paste to the freelancer: who, what, when, how many.

Each file of this folder has the words of a family of rules, under the rule ids: `WORDS`. Here they are put beside the
cards of the rules; a reason without words, and words without a reason, are an error at import. A fact that is missing
makes a shorter sentence, never an error: old decisions are explained by new code. Facts come fresh from a rule, or from
the ledger, where instants are text.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from worker import words
from worker.domain.cards import CardError
from worker.domain.decisions import Change, Decision, Facts, Subject
from worker.domain.rule_catalogue import REASONS
from worker.words.operators import OPERATOR_WORDS, Words
from worker.words.refunds import job_not_closed
from worker.words.shared import nothing_to_do, repeats

__all__ = ["explain", "explain_change", "job_not_closed", "worded"]

Table = Mapping[tuple[str, str], Words]


def explain(reason: str, outcome: str, subject: Subject, facts: Facts, rule: str | None = None) -> str:
    """Word a decision, or (outcome `applied`) the change that it made. `rule` is the decision's, where it is known."""
    known = (TABLE.get((rule, reason)) if rule is not None else None) or _BY_REASON.get(reason)
    return (known and known(outcome, subject, facts)) or f"{outcome.capitalize()}: {reason}."


def explain_change(change: Change) -> str:
    """Word a change, for wallet-updated and the ledger: for good."""
    return TABLE[change.rule, change.reason]("applied", change.subject, change.facts) or f"Applied: {change.reason}."


def worded(decisions: list[Decision]) -> list[Decision]:
    """Word the changes of decisions that were just taken. A failure here is one of their rule, which is parked."""
    for decision in decisions:
        for change in decision.changes:
            change.explanation = explain_change(change)
    return decisions


def problems(reasons: Mapping[str, frozenset[str]], table: Table) -> Iterator[str]:
    """Reasons without words, and words without a reason."""
    for rule in sorted(reasons):
        for reason in sorted(reasons[rule]):
            if (rule, reason) not in table:
                yield f"no words for the reason {reason!r} of {rule}; add them to its file in worker/words"
    for rule, reason in sorted(table):
        if reason not in reasons.get(rule, ()):
            yield f"words for the reason {reason!r} of {rule}, but no card of {rule} has that reason"


def _every_word() -> Table:
    table: dict[tuple[str, str], Words] = {}
    for name in sorted(module.name for module in iter_modules(words.__path__)):
        if f"{words.__name__}.{name}" == __name__:
            continue
        family: Mapping[str, Mapping[str, Words]] = getattr(import_module(f"{words.__name__}.{name}"), "WORDS", {})
        for rule, of_rule in family.items():
            for reason, one in of_rule.items():
                if table.setdefault((rule, reason), one) is not one:
                    raise CardError(f"words for the reason {reason!r} of {rule} are in two files")
    if (wrong := next(problems(REASONS, table), None)) is not None:
        raise CardError(wrong)
    return table


TABLE: Final = _every_word()
"""The words for each reason of each rule id."""
_BY_REASON: Final[Mapping[str, Words]] = {
    **{reason: one for (_, reason), one in TABLE.items()},
    **OPERATOR_WORDS,
    "already-granted": repeats("this"),
    "nothing-to-do": nothing_to_do,
}
"""For decisions without a rule, and for those of rules that this release does not have."""
