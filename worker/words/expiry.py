"""Words for Connects whose time is over."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.words.operators import Words
from worker.words.phrases import agreeing, connects, day


def _lot_expired(_outcome: str, _subject: Subject, facts: Facts) -> str:
    count, issued_on, expired_on = facts.get("connects"), day(facts.get("issued_at")), day(facts.get("expires_at"))
    words = f"{connects(count)} expired on {expired_on}" if expired_on else f"{connects(count)} expired"
    if not issued_on:
        return f"{words}: their time was over."
    they, were = agreeing(count, "it", "they"), agreeing(count, "was", "were")
    source = facts.get("source", "source not noted")
    return f"{words}: {they} came in on {issued_on} ({source}) and {were} not used in time."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {"expire.lot": {"lot-expired": _lot_expired}}
