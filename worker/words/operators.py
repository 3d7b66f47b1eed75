"""Words for operators and producers' teams: about records that were rejected or set aside, and about commands."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.words.phrases import agreeing, at_time, counted, day, how_it_closed, named, record, sentence, whose

Words = Callable[[str, Subject, Facts], str]
"""Makes a sentence of an outcome, a subject and facts."""


SHOWN_OF_A_HASH: Final = 12
"""How many characters of a plan's hash are shown to people."""


def refund_owed(
    proposal_id: str, job_id: str, connects_owed: int, closure: str, closed_at: datetime, *, on_schedule: bool
) -> str:
    """Say what a closure owes for a proposal, and why it is not there."""
    why = "The worker has not come to it yet." if on_schedule else "Nothing on the worker's schedule will return it."
    return (
        f"{counted(connects_owed, 'Connect is', 'Connects are')} owed for proposal {proposal_id}: "
        f"job {job_id} {how_it_closed({'closure': closure})} on {day(closed_at)}, and nobody was hired. {why}"
    )


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


def _occurred_too_long_ago(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Rejected: the message is dated too long ago to be true. {sentence(facts.get('detail'))}".rstrip()
        + " Nothing was changed; sent again with the right time, it counts."
    )


def _event_id_conflict(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Rejected: another message with the same event id was read before{record(facts)}, and says something else. "
        "Nothing was changed."
    )


def _unreadable_record(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Rejected: the record cannot be read. {sentence(facts.get('detail'))}".rstrip()


def _batch_too_large(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Rejected with all of its records: a batch is too large to be read. {sentence(facts.get('detail'))}".rstrip()
    )


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
        f"worker was stopped; {_wait_on(facts)}. Released again, it goes on from there.{_asked_by(facts)}"
    )


def _not_parked(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to release: the {facts.get('scope', 'wallet')}{named(facts, 'key')} is not stopped."


def _on_hold(_outcome: str, _subject: Subject, facts: Facts) -> str:
    if facts.get("let_time_go_on"):
        time = "Business time goes on without it: its events may be late when it is resumed."
    else:
        time = "Business time waits for it: nothing is settled, granted or expired until it is resumed."
    return f"On hold: {_place(facts)}. Nothing of it is decided. {time}{_asked_by(facts)}"


def _resumed(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Resumed: {_place(facts)}. Reading goes on where it stopped.{_asked_by(facts)}"


def _outputs_adopted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    messages = counted(int(str(facts.get("messages", 0))), "message was", "messages were")
    return (
        f"Adopted: {messages} published before the database was restored, and will be held back when made again. "
        f"Publishing goes on after outbox row {facts.get('goes_on_after', 0)}.{_asked_by(facts)}"
    )


def _adoption_interrupted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing was adopted: the command was interrupted. Run it again.{_asked_by(facts)}"


def _outputs_republished(_outcome: str, _subject: Subject, facts: Facts) -> str:
    messages = counted(int(str(facts.get("messages", 0))), "message was", "messages were")
    return f"{messages} put into the outbox, to be published once more as they were.{_asked_by(facts)}"


def _outputs_not_made_again(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing was published once more: {facts.get('messages', 0)} messages that were published before the database "
        "was restored are not made again yet, and would not be the last ones. `connects relay show` names the next."
        f"{_asked_by(facts)}"
    )


def _already_on_hold(_outcome: str, _subject: Subject, facts: Facts) -> str:
    changed = "" if facts.get("let_time_go_on") else " To let business time go on meanwhile, add --let-time-go-on."
    if facts.get("whole_topic") and facts.get("partition") is not None:
        changed = ""  # the hold of the topic would have to be changed
    return f"Nothing to do: {_place(facts)} is on hold already{_since(facts)}.{changed}"


def _not_on_hold(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to resume: {_place(facts)} is not on hold. `connects positions list` shows what is."


def _topic_on_hold(_outcome: str, _subject: Subject, facts: Facts) -> str:
    topic = facts.get("topic", "a topic")
    return (
        f"Not resumed: {topic} is on hold as a whole{_since(facts)}, and not its partition {facts.get('partition')} "
        f"alone. Resume all of it: `connects positions resume {topic} --why TEXT`."
    )


def _place(facts: Facts) -> str:
    partition, topic = facts.get("partition"), facts.get("topic", "a topic")
    return f"{topic}, all partitions" if partition is None else f"{topic}, partition {partition}"


def _since(facts: Facts) -> str:
    """Who put it on hold, when and why."""
    by, because = facts.get("by"), facts.get("because")
    since = at_time(facts, "since")
    return f"{since and ', since' + since}, by {by} ({because})" if by and because else ""


def _plan_begun(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Begun: {_plan(facts)}, with {counted(facts.get('triggers'), 'trigger')}.{_asked_by(facts)}"


def _plan_is_open(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing to begin: {_plan(facts)} is open already{_since_when(facts)}."


def _since_when(facts: Facts) -> str:
    since, by = at_time(facts, "since"), facts.get("by")
    return f", since{since}, by {by}" if since and by else ""


def _plan_applied(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Decided: {_triggers(facts)}; {_became(facts)}.{_asked_by(facts)}"


def _plan_interrupted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    left = facts.get("left")
    return (
        f"Not finished, because it took long or the worker was stopped: {_triggers(facts)}; {_became(facts)}, and "
        f"{counted(left, 'trigger')} {agreeing(left, 'is', 'are')} left. Applied again, the plan goes on from there."
        f"{_asked_by(facts)}"
    )


def _plan_stopped(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Stopped: {_plan(facts)}. It goes on when it is applied again.{_asked_by(facts)}"


def _plan_closed(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Closed: {_plan(facts)}. Nothing more of it is decided; what was booked stays.{_asked_by(facts)}"


def _plan_refused(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Not done with {_plan(facts)}: {sentence(facts.get('detail')) or 'it cannot be applied here.'}"


def _plan(facts: Facts) -> str:
    return f"plan {str(facts.get('plan', ''))[:SHOWN_OF_A_HASH]}".rstrip()


def _triggers(facts: Facts) -> str:
    first, last = facts.get("first"), facts.get("last")
    return f"triggers {first} to {last} of {_plan(facts)}" if first is not None else f"triggers of {_plan(facts)}"


def _became(facts: Facts) -> str:
    booked, deviated, left_out = (facts.get(name, 0) for name in ("booked", "deviated", "left_out"))
    return f"{booked} booked, {deviated} deviated from the plan, {left_out} left out"


def _wrong_arguments(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Not done: {sentence(facts.get('detail')) or 'the arguments are wrong.'}"


def _command_failed(_outcome: str, _subject: Subject, facts: Facts) -> str:
    why = facts.get("error", "no reason known")
    return f"Not done to its end: the command failed in the worker ({why}). Its log says where; report it."


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
    "occurred-too-long-ago": _occurred_too_long_ago,
    "event-id-conflict": _event_id_conflict,
    "unreadable-record": _unreadable_record,
    "batch-too-large": _batch_too_large,
    "failure-in-rule": _failure_in_rule,
    "refused-by-postgresql": _refused_by_postgresql,
    "waits-behind": _waits_behind,
    "position-set": _position_set,
    "on-hold": _on_hold,
    "resumed": _resumed,
    "outputs-adopted": _outputs_adopted,
    "adoption-interrupted": _adoption_interrupted,
    "outputs-republished": _outputs_republished,
    "outputs-not-made-again": _outputs_not_made_again,
    "already-on-hold": _already_on_hold,
    "not-on-hold": _not_on_hold,
    "topic-on-hold": _topic_on_hold,
    "released": _released,
    "fails-again": _fails_again,
    "worker-stopping": _worker_stopping,
    "not-parked": _not_parked,
    "plan-begun": _plan_begun,
    "plan-is-open": _plan_is_open,
    "plan-applied": _plan_applied,
    "plan-interrupted": _plan_interrupted,
    "plan-stopped": _plan_stopped,
    "plan-closed": _plan_closed,
    "plan-refused": _plan_refused,
    "wrong-arguments": _wrong_arguments,
    "command-failed": _command_failed,
    "unknown-command": _unknown_command,
}
