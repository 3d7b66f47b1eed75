"""Which topic is meant by what somebody types: its name, or words that people use for it, typing errors included."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rapidfuzz import fuzz, process, utils

from worker.replies.standing import TOPICS

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "expiry": (
        "expire",
        "expiration",
        "how long do connects last",
        "when do they expire",
        "run out",
        "valid until",
        "disappeared",
        "connects vanished",
        "where did my connects go",
        "lost connects",
        "who stole my connects",
    ),
    "rollover": ("roll over", "carry over", "unused connects", "keep them next month", "limit to collect", "save up"),
    "order": ("which connects are used first", "oldest first", "fifo", "which are spent first"),
    "buying": ("buy", "purchase", "bought connects", "buy more", "maximum"),
    "overdrawn": ("negative balance", "negative wallet", "below zero", "minus", "owe connects", "debt"),
    "charged-twice": ("double charge", "deducted twice", "two charges for one proposal", "twice", "duplicate"),
    "transfer": ("sharing", "share", "give to a friend", "send connects", "move connects", "lend", "gift"),
    "cash": ("money", "pay out", "convert to dollars", "sell", "worth"),
    "courtesy": ("goodwill", "exception", "can support add", "compensation", "free connects from support"),
    "free-plan": ("basic plan", "basic", "free monthly connects", "what does basic bring"),
    "monthly-day": (
        "monthly connects",
        "when do i get my connects",
        "renewal day",
        "cycle day",
        "next grant",
        "when 10",
    ),
    "late": (
        "missing monthly connects",
        "not arrived",
        "my cycle began yesterday",
        "where are my 80",
        "where are my 10",
        "no connects this month",
        "did not get my monthly connects",
        "never got the free connects",
        "only got 10",
        "why 10 and not 80",
    ),
    "month-end": (
        "two dates",
        "two charges in two days",
        "31st",
        "the 31st",
        "end of the month",
        "charged on the 1st",
        "charged twice in days",
        "two payments in one month",
        "billed twice this month",
    ),
    "billing-date": ("change billing date", "move renewal date", "other day of the month", "change the day"),
    "leaving-plus": ("downgrade", "cancel plus", "stop plus", "go back to basic", "end membership", "unsubscribe"),
    "upgrade-amount": ("why 73", "73 and not 80", "prorated", "proration", "fewer than 80", "upgrade", "partial month"),
    "split-payment": ("pay with both", "part from earnings", "earnings balance", "two sources", "half from my card"),
    "failed-payment": ("charge failed", "payment failed", "card declined", "lost plus"),
    "paid-late": ("paid after", "late payment", "paid too late", "paid but still basic"),
    "promo": ("promo code", "promotion", "coupon", "discount", "voucher"),
    "suspension": ("suspended", "account suspended", "blocked", "on hold", "billing method suspended", "reinstated"),
    "new-account": ("register", "registration", "sign up", "40 connects", "first connects", "new freelancer"),
    "refunds": (
        "refund",
        "return",
        "get connects back",
        "when do they come back",
        "reimburse",
        "did not get my connects back",
        "nothing came back",
        "only half came back",
    ),
    "several": ("all my proposals", "sum of proposals", "how many came back"),
    "declined": ("rejected", "not chosen", "client declined", "not selected", "turned down"),
    "silence": (
        "no answer",
        "nothing happened",
        "a month ago",
        "unread",
        "client does not reply",
        "how long to wait",
        "client ghosted me",
    ),
    "archived": ("archive", "archived proposal", "hidden proposal"),
    "expired": ("job expired", "expired job", "client never closed"),
    "hired": (
        "somebody was hired",
        "hired somebody else",
        "other freelancer hired",
        "interviewed but not hired",
        "client hired outside",
    ),
    "contract-cancelled": ("contract cancelled", "cancelled before it started", "contract ended", "offer declined"),
    "removed": ("job removed", "scam job", "fake job", "reported job", "violated terms", "deleted job"),
    "withdrawn": ("withdraw", "withdrew my proposal", "take back my proposal", "cancel proposal"),
    "reopened": ("reopen", "job opened again", "closed twice"),
    "twin-jobs": ("same job twice", "reposted", "posted again", "duplicate job"),
    "refund-time": ("how long does a refund take", "when is the refund", "expiry of refunded connects", "refund date"),
    "refund-meaning": ("why did i get a refund", "what does a refund mean", "did i do something wrong"),
    "boosts": ("boost", "boosted proposal", "outbid", "bid", "auction"),
    "agencies": ("agency", "agency wallet", "team", "business manager"),
    "interviews": ("interview", "interview reward", "interview bonus", "interview brings", "client replied"),
    "weekly-limit": ("limit", "weekly cap", "50 in 7 days", "maximum for interviews", "too many interviews"),
    "established-client": ("new client", "client without hires", "payment not verified", "first hire"),
    "invitations": ("invite", "invited", "answer an invitation", "invitation to interview"),
    "badges": ("badge", "rising talent", "top rated", "lost my badge"),
    "certifications": ("certification", "learning paths", "learning-paths", "upwork 101", "course", "skill test"),
    "job-cost": ("how many connects does a job cost", "cost of a proposal", "why 16 connects", "job price"),
    "price": ("price of a connect", "what does a connect cost", "bundle", "smallest purchase"),
    "money-back": ("money back", "get my money back", "refund of a purchase in money", "refund of plus", "chargeback"),
    "card-refused": ("why was my card refused", "card refused", "bank", "card not accepted"),
    "annual-plan": ("annual", "yearly plan", "year subscription", "other plans"),
    "ad-credits": ("ads", "ad credits", "advertising", "availability badge"),
    "badge-award": ("when do i get a badge", "how to get rising talent", "badge taken away"),
    "profile": ("profile", "visibility", "private job", "private profile"),
}
"""How people call a topic, beside its name."""
SURE: Final = 86
_MAYBE: Final = 62
_MOST_GUESSES: Final = 4
_SHORTEST: Final = 3


class Found(NamedTuple):
    """The topic that is meant; None with those that may be meant, best first."""

    topic: str | None
    guesses: list[str]


def find_topic(words: str) -> Found:
    """Find a topic by its name, or by words that people use for it, typing errors included."""
    name = words.strip().lower().replace(" ", "-")
    if name in TOPICS:
        return Found(name, [])
    scores = _scores(words)
    ranked = sorted(scores, key=lambda topic: -scores[topic])
    if ranked and scores[ranked[0]] >= SURE:
        return Found(ranked[0], ranked[1 : 1 + _MOST_GUESSES])
    return Found(None, [topic for topic in ranked if scores[topic] >= _MAYBE][:_MOST_GUESSES])


def _scores(words: str) -> dict[str, float]:
    """How near each topic is, from 0 to 100 and a little: of equals, the phrase of more words says more."""
    phrases = {phrase: topic for topic in TOPICS for phrase in (topic.replace("-", " "), *WORDS[topic])}
    typed = utils.default_process(words)
    if len(typed) < _SHORTEST:
        return {}
    found = process.extract(typed, [*phrases], scorer=_nearness, limit=None)
    scores: dict[str, float] = {}
    for phrase, score, _ in found:
        nearness = score + len(phrase.split()) / 100
        scores[phrases[phrase]] = max(nearness, scores.get(phrases[phrase], 0.0))
    return scores


def _nearness(typed: str, phrase: str, *, score_cutoff: float | None = None) -> float:
    """How near two phrases are: as wholes, in any order of their words, or the shorter inside the longer.

    What is only inside counts less, so that a phrase of its own goes first.
    """
    phrase = utils.default_process(phrase)
    whole = max(fuzz.ratio(typed, phrase), fuzz.token_sort_ratio(typed, phrase))
    inside = fuzz.token_set_ratio(typed, phrase) * (0.95 if set(typed.split()) & set(phrase.split()) else 0.0)
    near = max(whole, inside)
    return near if score_cutoff is None or near >= score_cutoff else 0.0
