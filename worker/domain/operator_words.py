"""Words for what only operators and producers' teams see: what was rejected, set aside, or commanded."""

from collections.abc import Callable, Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.domain.phrases import agreeing, at_time, counted, named, record, sentence, whose

Words = Callable[[str, Subject, Facts], str]
"""Makes a sentence of an outcome, a subject and facts."""


def _already_decided(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing done again: this message was read before{record(facts)} and decided then."


def _invalid_event(_outcome: str, _subject: Subject, facts: Facts) -> str:
    field, detail = facts.get("field"), facts.get("detail")
    at_fault = f" The field {field}:" if field else ""
    return f"Rejected: the message is not valid.{at_fault} {sentence(detail)}".rstrip()


def _occurred_in_the_future(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Rejected: the message is dated{at_time(facts, 'occurred_at') or ' at a time'} and was read before that. "
        "Nothing was changed; sent again later, or with the right time, it counts."
    )


def _event_id_conflict(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Rejected: another message with the same event id was read before{record(facts)}, and says something else. "
        "Nothing was changed."
    )


def _unreadable_record(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Rejected: the record cannot be read. {sentence(facts.get('detail'))}".rstrip()


def _failure_in_rule(_outcome: str, subject: Subject, facts: Facts) -> str:
    error = facts.get("error")
    who = f"job {facts.get('key')}" if facts.get("scope") == "job" else whose(subject)  # a settlement stops the job
    return (
        f"Set aside: deciding this failed{f' ({error})' if error else ''}. It and what follows for {who} "
        "wait until an operator releases them; nothing is lost."
    )


def _refused_by_postgresql(_outcome: str, subject: Subject, facts: Facts) -> str:
    error = facts.get("error")
    return (
        f"Set aside: PostgreSQL refused to store what was decided{f' ({error})' if error else ''}. This and what "
        f"follows for {whose(subject)} wait until an operator releases them; nothing is lost."
    )


def _waits_behind(_outcome: str, subject: Subject, facts: Facts) -> str:
    scope, key = facts.get("scope"), facts.get("key")
    who = f"the {scope} {key}" if scope and key else whose(subject)
    return f"Waiting: an earlier failure holds {who} up. This is decided, in its turn, when an operator releases it."


def _position_set(_outcome: str, _subject: Subject, facts: Facts) -> str:
    partition = f", partition {facts['partition']}" if "partition" in facts else ""
    where = f"{facts.get('topic', 'a topic')}{partition}"
    offset = f"offset {facts['offset']}" if "offset" in facts else "another offset"
    incarnation = f" of incarnation {facts['incarnation']}" if facts.get("incarnation") else ""
    return f"Reading of {where} goes on at {offset}{incarnation}.{_asked_by(facts)}"


def _released(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"The {facts.get('scope', 'wallet')}{named(facts, 'key')} goes on: {_were_decided(facts)}, in order."
        f"{_asked_by(facts)}"
    )


def _fails_again(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"The {facts.get('scope', 'wallet')}{named(facts, 'key')} stays stopped: {_were_decided(facts)}, then one "
        f"failed again ({facts.get('error', 'no reason known')}); {_wait_on(facts)}.{_asked_by(facts)}"
    )


def _worker_stopping(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"The {facts.get('scope', 'wallet')}{named(facts, 'key')} stays stopped: {_were_decided(facts)}, then the "
        f"worker was told to end; {_wait_on(facts)}. Released again, it goes on from there.{_asked_by(facts)}"
    )


def _not_parked(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to release: the {facts.get('scope', 'wallet')}{named(facts, 'key')} is not stopped."


def _wrong_arguments(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Not done: {sentence(facts.get('detail')) or 'the arguments are wrong.'}"


def _unknown_command(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Not done: the worker does not know the command{named(facts, 'name')}; it may be of an older release."


def _were_decided(facts: Facts) -> str:
    released = facts.get("released")
    return f"{counted(released, 'waiting message')} {agreeing(released, 'was', 'were')} decided"


def _wait_on(facts: Facts) -> str:
    left = facts.get("left")
    return f"{'others' if left is None else left} {agreeing(left, 'waits', 'wait')} on"


def _asked_by(facts: Facts) -> str:
    actor, why = facts.get("actor"), sentence(facts.get("why"))
    return f" Asked for by {actor}: {why}" if actor and why else ""


OPERATOR_WORDS: Final[Mapping[str, Words]] = {
    "already-decided": _already_decided,
    "invalid-event": _invalid_event,
    "occurred-in-the-future": _occurred_in_the_future,
    "event-id-conflict": _event_id_conflict,
    "unreadable-record": _unreadable_record,
    "failure-in-rule": _failure_in_rule,
    "refused-by-postgresql": _refused_by_postgresql,
    "waits-behind": _waits_behind,
    "position-set": _position_set,
    "released": _released,
    "fails-again": _fails_again,
    "worker-stopping": _worker_stopping,
    "not-parked": _not_parked,
    "wrong-arguments": _wrong_arguments,
    "unknown-command": _unknown_command,
}
