"""Each rule says on its card all that the rest of the worker has to know, and what it says is so."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest

from schemas.base import InputEvent
from schemas.catalogue import INPUT_TOPICS
from schemas.examples import EXAMPLES
from schemas.inputs import TOPICS
from schemas.outputs import Subject as PublishedSubject
from schemas.topics import Topic, on_topic
from tests.kit.policies import FILE, policies
from worker.demo.natural_keys import natural_key
from worker.domain import cards as rule_cards
from worker.domain import decide, policy_text, rule_catalogue
from worker.domain.cards import Card, CardError, Need, PartFields, PolicyKey, Work, made, part, rule
from worker.domain.decide import decide_event
from worker.domain.decisions import Decision
from worker.domain.model import Cause, Job, Membership
from worker.domain.policy import PolicyBook
from worker.domain.rule_catalogue import CARDS, CLOCK_RULES, FOUND_BY, REASONS, RULES
from worker.domain.state import State
from worker.domain.triggers import Received
from worker.engine.loading.needs import Needs
from worker.ledger.mentions import FOR_OPERATORS
from worker.words import explanations

FIELDS = sorted(rule_cards.Fields.__required_keys__)
NAMED = [pytest.param(card, id=f"{card.id} on {card.on}") for card in CARDS]
OF_EVENTS = [pytest.param(card, id=topic) for topic, card in RULES.items()]
OF_REPEATS = [pytest.param(card, id=topic) for topic, card in RULES.items() if card.repeat]


def example(topic: str, event_id: str = "e-1") -> InputEvent:
    return INPUT_TOPICS[topic].model_validate_json(json.dumps({**EXAMPLES[topic], "event_id": event_id}))


def loaded_for(topic: str, event: InputEvent, state: State) -> State:
    """What memory holds once it has loaded what the card needs: nothing exists yet."""
    wanted = Needs()
    wanted.ask_for_event(topic, event.__dict__)
    state.absent_wallets.update(wanted.freelancers)
    state.absent_spends.update(wanted.proposals)
    state.absent_grants.update(wanted.grants)
    state.absent_charges.update(wanted.charges)
    for job_id in wanted.jobs:
        state.jobs.setdefault(job_id, Job(job_id))
    for freelancer_id in wanted.memberships:
        state.memberships.setdefault(freelancer_id, Membership(freelancer_id))
    return state


def decided(topic: str, event: InputEvent, state: State, seq: int = 1, book: PolicyBook | None = None) -> Decision:
    trigger = Received(event, topic, Cause(topic, event.event_id, 0, 0, seq), event.occurred_at, seq)
    return decide_event(state, trigger, book or policies(FILE.read_text(encoding="utf-8")), b"{}")[0]


def said(card: Card) -> dict[str, Any]:
    return {name: getattr(card, name) for name in FIELDS}


# What is there.


def test_every_topic_and_all_work_of_the_clock_have_a_rule() -> None:
    assert set(RULES) == set(INPUT_TOPICS)
    assert set(CLOCK_RULES) == set(get_args(Work))


@pytest.mark.parametrize("card", OF_EVENTS)
def test_the_example_is_decided_with_what_the_card_needs_and_nothing_else(card: Card) -> None:
    topic = card.on or ""
    state = State(timedelta(seconds=30), strict=True)
    decision = decided(topic, example(topic), loaded_for(topic, example(topic), state))
    assert decision.reason in card.all_reasons or decision.reason in REASONS[decision.rule or ""]
    words = explanations.explain(decision.reason, decision.outcome, decision.subject, decision.facts, decision.rule)
    assert words != f"{decision.outcome.capitalize()}: {decision.reason}.", "it is not worded"
    for change in decision.changes:
        assert explanations.explain_change(change) == words
        assert set(change.about) <= set(PublishedSubject.model_fields)
        assert set(change.about) == set(card.about)


@pytest.mark.parametrize("card", OF_EVENTS)
def test_without_any_one_of_its_needs_the_card_is_refused_or_the_example_fails(card: Card) -> None:
    topic = card.on or ""
    for need in card.needs:
        without = tuple(other for other in card.needs if other is not need)
        try:
            made(card.decide, {**said(card), "needs": without})  # type: ignore[typeddict-item]
        except CardError:
            continue
        state = loaded_for(topic, example(topic), State(timedelta(seconds=30), strict=True))
        event = example(topic).__dict__
        if need is Need.JOB:
            del state.jobs[event["job_id"]]
        elif need is Need.PROPOSAL:
            state.absent_spends.clear()
        elif need is Need.CHARGE:
            state.absent_charges.clear()
        else:
            assert need in {Need.SPENDS_OF_JOB, Need.REFUNDS_OF_JOB}, f"nothing notices that {need} is missing"
            continue  # loaded again, page by page, as the closure is worked off; tests/property hold the claw-back
        with pytest.raises(LookupError):
            decided(topic, example(topic), state)


@pytest.mark.parametrize("card", OF_REPEATS)
def test_a_repeat_is_declined_with_words_of_the_rules_own(card: Card) -> None:
    topic = card.on or ""
    state = State(timedelta(seconds=30), strict=True)
    first = decided(topic, example(topic), loaded_for(topic, example(topic), state))
    if first.outcome != "applied":  # the example takes more than there is
        connects = {**EXAMPLES[topic], "connects": 5}
        event = INPUT_TOPICS[topic].model_validate_json(json.dumps(connects))
        first = decided(topic, event, loaded_for(topic, event, state))
    assert first.outcome == "applied", (
        f"The example of {topic} is {first.outcome}/{first.reason}, so nothing of it can be repeated. Make it an event "
        f"that is applied: it is of {EXAMPLES[topic]['occurred_at']}, under the policy {first.policy_version}."
    )
    assert first.changes[0].natural_key == card.natural_key(example(topic).__dict__)
    again = decided(topic, example(topic, "e-2"), loaded_for(topic, example(topic), state), seq=2)
    assert (again.outcome, again.reason, again.changes) == ("declined", card.repeat, [])
    assert again.facts["granted_at"] == first.occurred_at
    words = explanations.explain(again.reason, again.outcome, again.subject, again.facts, again.rule)
    assert words != explanations.explain(again.reason, again.outcome, again.subject, again.facts)
    assert card.once_per is not None
    named = [name for name in card.once_per.fields if name != "freelancer_id"]
    assert all(str(example(topic).__dict__[name]) in words for name in named), "it does not say what happens once"


@pytest.mark.parametrize("card", NAMED)
def test_what_happens_once_is_in_the_check_of_the_invariants(card: Card) -> None:
    if card.once_per is None:
        assert card.repeat is None
        return
    lines = [line for line in natural_key(CARDS).splitlines() if f"'{card.id}'" in line]
    assert lines
    assert all(len(line) < 200 for line in lines)


@pytest.mark.parametrize("card", NAMED)
def test_every_policy_key_is_one_that_a_policy_may_have(card: Card) -> None:
    for key in card.policy:
        path = key.path if isinstance(key, PolicyKey) else key
        assert policy_text.has_key(policy_text.VERSION_TEXT, path), path


def test_a_rule_that_brings_a_policy_key_books_nothing_under_a_version_from_before_it() -> None:
    for topic, card in RULES.items():
        if any(isinstance(key, PolicyKey) for key in card.policy):
            state = State(timedelta(seconds=30), strict=True)
            before = decided(topic, example(topic), loaded_for(topic, example(topic), state), book=policies())
            assert not before.changes, f"the default of the key of {card.id} does not mean that it is not in force"


def test_only_what_refunds_shares_the_source_of_its_lots_with_another_rule() -> None:
    shared = [source for source, rules in Counter(rule_cards.sources.values()).items() if rules > 1]
    assert shared == ["refund"], "give the new rule a source of its own"


def test_operators_see_what_the_cards_say() -> None:
    assert {"hire-after-settlement", "paid-after-lapse"} == FOR_OPERATORS
    assert FOUND_BY["proposal-submitted", "free-from-invitation"] == "spend"


# What is missing.


@pytest.mark.parametrize("card", NAMED)
def test_a_card_without_any_one_field_is_refused_in_one_sentence(card: Card) -> None:
    for field in FIELDS:
        less = {name: value for name, value in said(card).items() if name != field}
        with pytest.raises(CardError) as refused:
            rule(**less)(card.decide)  # type: ignore[typeddict-item, arg-type]
        assert str(refused.value) == (
            f"the card of {card.decide.__module__}.{card.decide.__name__} does not say {field!r}; "
            "if the rule has none, say None or ()"
        )


@pytest.mark.parametrize("field", sorted(PartFields.__required_keys__))
def test_the_card_of_a_rule_that_others_call_is_refused_without_any_one_field(field: str) -> None:
    card = next(card for card in CARDS if card.on is None)
    less = {name: getattr(card, name) for name in PartFields.__required_keys__ if name != field}
    with pytest.raises(CardError, match=f"does not say '{field}'"):
        part(**less)(card.decide)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("card", NAMED)
def test_a_reason_that_is_taken_off_a_card_leaves_words_without_a_reason(card: Card) -> None:
    for reason in card.reasons:
        fewer = tuple(other for other in card.reasons if other != reason)
        others = [replace(card, reasons=fewer), *(other for other in CARDS if other is not card)]
        reasons = rule_catalogue.reasons_of(others)
        if reasons == REASONS:
            continue  # another card of this id has it, too
        found = list(explanations.problems(reasons, explanations.TABLE))
        assert found == [f"words for the reason {reason!r} of {card.id}, but no card of {card.id} has that reason"]


def test_a_reason_whose_words_are_missing_is_named() -> None:
    for rule_id, reason in explanations.TABLE:
        table: Mapping[Any, Any] = {key: words for key, words in explanations.TABLE.items() if key != (rule_id, reason)}
        (found,) = explanations.problems(REASONS, table)
        assert found == f"no words for the reason {reason!r} of {rule_id}; add them to its file in worker/words"


@pytest.mark.parametrize("card", [*OF_EVENTS, *(pytest.param(card, id=work) for work, card in CLOCK_RULES.items())])
def test_a_rule_that_is_missing_is_named(card: Card) -> None:
    (found,) = rule_catalogue.problems([other for other in CARDS if other is not card])
    assert found == f"no rule says on={card.on!r}; every topic and all work of the clock has one (worker/domain/rules)"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"on": "job-sung-about"}, "no event has the topic 'job-sung-about'"),
    ({"event": INPUT_TOPICS["badge-earned"]}, "the event of certification-completed is CertificationCompleted"),
    ({"needs": ()}, "the event names a freelancer, so it needs the WALLET"),
    ({"needs": (Need.WALLET, Need.JOB)}, "it needs a JOB, but the event has no job_id"),
    ({"needs": (Need.WALLET, Need.MEMBERSHIP)}, "it needs the MEMBERSHIP if the membership begins or moves"),
    ({"then": "membership-begins"}, "it needs the MEMBERSHIP if the membership begins or moves"),
    ({"then": "proposal-arrives"}, "it needs the PROPOSAL that arrives"),
    ({"then": None}, "then=None is none of nothing, membership-begins, membership-moves, proposal-arrives"),
    ({"stops": None}, "stops=None is none of wallet, job"),
    ({"source": ""}, "its source is empty; if it opens no lots, say None"),
    ({"stops": "job"}, "it stops a job that it does not need"),
    ({"once_per": None}, "it declines repeats, so it needs once_per"),
    ({"about": ()}, "its natural key has 'certification_id', so it is about that, too"),
    ({"about": ("certification_id", "kind")}, "it is about 'kind', which wallet-updated does not publish"),
    ({"about": ("certification_id", "badge")}, "the event has no 'badge'"),
    ({"reasons": ()}, "it has no reasons"),
    ({"found_by": {"won": "spend"}}, "found_by names 'won', which is not one of its reasons"),
    ({"on": None}, "event, repeat and unless are for rules that an event brings about"),
]


@pytest.mark.parametrize(("changed", "words"), WRONG)
def test_a_card_that_cannot_be_true_is_refused(changed: dict[str, Any], words: str) -> None:
    card = RULES["certification-completed"]
    with pytest.raises(CardError) as refused:
        made(card.decide, {**said(card), **changed})  # type: ignore[typeddict-item]
    assert f"the card of worker.domain.rules.grants.certification: {words}" in str(refused.value)


def test_two_rules_for_one_topic_or_two_sources_for_one_id_are_refused() -> None:
    card = RULES["badge-earned"]
    before = (list(rule_cards.declared), dict(rule_cards.by_trigger), dict(rule_cards.sources))
    with pytest.raises(CardError, match="two rules say on='badge-earned'"):
        rule(**said(card))(card.decide)  # type: ignore[typeddict-item, arg-type]
    with pytest.raises(CardError, match=r"the lots of grant\.badge have two sources, 'badge' and 'other'"):
        part(id=card.id, once_per=None, source="other", reasons=("a",), found_by={}, policy=())(card.decide)
    assert before == (list(rule_cards.declared), dict(rule_cards.by_trigger), dict(rule_cards.sources))


def test_a_policy_key_that_no_policy_has_is_named() -> None:
    card = replace(RULES["badge-earned"], policy=("grants.badgers",))
    assert list(policy_text.problems([card], policy_text.VERSION_TEXT)) == [
        "the card of grant.badge reads the policy key 'grants.badgers', which no policy has"
    ]


@pytest.mark.parametrize("path", ["grants.badges", "ratings.five_stars", "grants", "grants."])
def test_a_policy_key_that_a_rule_brings_is_new_in_a_section(path: str) -> None:
    with pytest.raises(CardError, match=r"is not section\.name with a name that is new in a section"):
        policy_text.with_keys([PolicyKey(path, 0)])


def test_a_reason_that_is_on_no_card_is_a_failure_of_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "REASONS", {**REASONS, "grant.badge": frozenset({"no-award-for-badge"})})
    state = loaded_for("badge-earned", example("badge-earned"), State(timedelta(0), strict=True))
    with pytest.raises(AssertionError, match=r"no card of grant\.badge has the reason 'badge-earned'"):
        decided("badge-earned", example("badge-earned"), state)


def test_a_rule_that_grants_without_a_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(rule_cards.sources, "grant.badge")
    state = loaded_for("badge-earned", example("badge-earned"), State(timedelta(0), strict=True))
    with pytest.raises(AssertionError, match=r"no card of grant\.badge says the source of its lots, and it grants 30"):
        decided("badge-earned", example("badge-earned"), state)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_an_event_without_its_key_or_its_example_is_refused(topic: Topic) -> None:
    with pytest.raises(TypeError, match="'key'"):
        on_topic(topic.name, example=topic.example)(topic.event)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'example'"):
        on_topic(topic.name, key="job_id")(topic.event)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=f"two events say that they are sent on {topic.name}"):
        on_topic(topic.name, key="job_id", example=topic.example)(topic.event)
