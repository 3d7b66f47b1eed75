"""A release adds a key; the files and the ledgers from before it are read as before, and mean the same.

No release has added one yet, so `Grown` is the next one: a key in a section that is there, and a section more.
"""

import gzip
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from tests.kit.policies import later_version, policies, policy_text, with_promo_codes
from worker.domain.policy import Policy, PolicyBook
from worker.domain.policy_file import PolicyError, read_policy
from worker.domain.policy_text import Connects, GrantsText, Section, VersionText
from worker.domain.policy_use import PolicyUse, StoredVersion, compare

RELEASE = Path(__file__).parents[2] / "upgrade" / "0.1.0"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


class GrownGrants(GrantsText):
    """One key more."""

    referral: Connects = 0


class Referrals(Section):
    """A section of its own."""

    cap: Connects = 0
    days: int = 7


class Grown(VersionText):
    """The policy as the next release reads it."""

    grants: GrownGrants
    referrals: Referrals = Field(default_factory=Referrals)


TODAY = policy_text()
AT_ITS_DEFAULT = TODAY.replace("registration = 40", "referral = 0\nregistration = 40")
SECTION_AT_ITS_DEFAULT = TODAY + "\n[version.referrals]\ncap = 0\n"
IN_FORCE = TODAY.replace("registration = 40", "referral = 15\nregistration = 40")


def grown(text: str) -> PolicyBook:
    return read_policy(text, "connects.toml", Grown)


def stored(book: PolicyBook) -> list[StoredVersion]:
    """The stored versions once a worker has run with that policy."""
    return [
        StoredVersion(one.version, one.effective_from, msgspec.json.encode(one.stored_document).decode())
        for one in book.versions
    ]


def opened(text: str, ledger: list[StoredVersion], model: type[VersionText] = Grown) -> PolicyUse:
    return compare(read_policy(text, "connects.toml", model), ledger, NOW, model)


def shown(use: PolicyUse) -> list[tuple[str, object, object]]:
    return [(one.key, one.ledger, one.file) for one in use.differences]


def test_a_file_from_before_the_key_is_read_and_the_rule_is_not_in_force() -> None:
    (version,) = grown(TODAY).versions
    assert version.document["grants"]["referral"] == 0  # type: ignore[index]
    assert version.document["referrals"] == {"cap": 0, "days": 7}


@pytest.mark.parametrize("text", [TODAY, AT_ITS_DEFAULT, SECTION_AT_ITS_DEFAULT])
def test_a_key_at_its_default_changes_nothing(text: str) -> None:
    (before,) = policies(TODAY).versions
    (version,) = grown(text).versions
    assert version.hash == before.hash
    assert version.stored_document == before.stored_document
    assert replace(version, document={}) == replace(before, document={})


@pytest.mark.parametrize("text", [TODAY, AT_ITS_DEFAULT, SECTION_AT_ITS_DEFAULT])
def test_a_ledger_from_before_the_key_goes_on_with_the_file_as_it_was_and_with_the_key_at_its_default(
    text: str,
) -> None:
    use = opened(text, stored(policies(TODAY)))
    assert (use.refusal, use.used, use.new) == (None, ["2026-01-01"], [])


@pytest.mark.parametrize("text", [TODAY, AT_ITS_DEFAULT, SECTION_AT_ITS_DEFAULT])
def test_a_key_that_stood_at_its_default_may_be_taken_out_again(text: str) -> None:
    assert opened(text, stored(grown(AT_ITS_DEFAULT))).refusal is None
    assert opened(text, stored(grown(SECTION_AT_ITS_DEFAULT))).refusal is None


def test_the_release_before_opens_the_ledger_again_as_long_as_the_key_is_not_in_force() -> None:
    assert opened(TODAY, stored(grown(AT_ITS_DEFAULT)), VersionText).refusal is None


def test_a_new_key_at_another_value_in_a_version_that_was_used_is_refused_with_both_values() -> None:
    use = opened(IN_FORCE, stored(policies(TODAY)))
    assert shown(use) == [("grants.referral", 0, 15)]
    assert use.refusal == (
        "version 2026-01-01: grants.referral is 15 in the file and 0 in the ledger. Put back what the ledger has, and "
        "make the change as a new [[version]] (see: connects policy check)"
    )


def test_a_key_that_was_in_force_may_not_be_taken_out() -> None:
    assert shown(opened(TODAY, stored(grown(IN_FORCE)))) == [("grants.referral", 15, 0)]


def test_a_new_key_comes_into_force_with_a_later_version() -> None:
    later = later_version("2026-07-01").replace("registration = 40", "referral = 15\nregistration = 40")
    use = opened(TODAY + later, stored(policies(TODAY)))
    assert (use.refusal, use.new) == (None, ["2026-07-01"])
    assert [version.document["grants"]["referral"] for version in grown(TODAY + later).versions] == [0, 15]  # type: ignore[index]


def test_a_ledger_that_used_a_key_is_refused_by_the_release_that_does_not_know_it() -> None:
    use = opened(TODAY, stored(grown(IN_FORCE)), VersionText)
    assert use.refusal == (
        "version 2026-01-01 was stored by a later release: this one cannot read grants.referral. Run the later release "
        "(see: connects policy check)"
    )


def test_a_key_of_the_next_release_that_is_misspelled_is_shown_its_name() -> None:
    with pytest.raises(PolicyError, match=r"line 23: referal: unknown key \(did you mean referral\?\)"):
        grown(TODAY.replace("registration = 40", "referal = 15\nregistration = 40"))


def test_every_key_that_0_1_0_did_not_have_has_a_default() -> None:
    """Without one no file exists that both this release and a ledger from before it accept."""
    (first, *_) = tomllib.loads((RELEASE / "policy.toml").read_text())["version"]
    assert set(required(VersionText)) == set(keys_of(first)) - {"grants.badges.rising-talent"}
    assert set(required(Careless)) - set(keys_of(first)) == {"grants.referral"}


class CarelessGrants(GrantsText):
    """A key more, without a default."""

    referral: Connects


class Careless(VersionText):
    """A release that no ledger of the one before can use."""

    grants: CarelessGrants


def required(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The tables and keys that a version has to have, with dots."""
    for name, field in model.model_fields.items():
        if field.is_required():
            yield f"{above}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from required(field.annotation, f"{above}{name}.")


def keys_of(document: dict[str, Any], above: str = "") -> Iterator[str]:
    """The tables and keys of a version, with dots."""
    for name, value in document.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from keys_of(value, f"{above}{name}.")


# What 0.1.0 stored.


def stored_by_0_1_0() -> tuple[list[StoredVersion], dict[str, bytes]]:
    """The rows of its table `policies`: the versions, and the hash of each."""
    dump = gzip.decompress((RELEASE / "ledger.sql.gz").read_bytes()).decode()
    rows = re.findall(
        r"^\t\('([^']+)', '([^']+)', '\\x([0-9a-f]{32})', '(\{.*\})', '[^']+'\)[,;]$",
        dump[dump.index("INSERT INTO public.policies") :],
        re.MULTILINE,
    )
    versions = [StoredVersion(name, datetime.fromisoformat(begins), text) for name, begins, _, text in rows]
    return versions, {name: bytes.fromhex(digest) for name, _, digest, _ in rows}


@pytest.mark.parametrize("model", [VersionText, Grown])
def test_what_0_1_0_stored_means_what_its_file_means_to_this_release_and_the_next(model: type[VersionText]) -> None:
    versions, hashes = stored_by_0_1_0()
    book = read_policy((RELEASE / "policy.toml").read_text(), "policy.toml", model)
    use = compare(book, versions, datetime(2032, 1, 1, tzinfo=UTC), model)
    assert use.refusal is None
    assert (use.used, use.to_come) == (["2026-01-01", "2028-01-01", "2029-06-01", "2031-11-01"], ["2032-04-01"])
    assert {version.version: version.hash for version in book.versions} == hashes, "0.1.0 would refuse the ledger"


# How a file and a ledger are compared.


@pytest.mark.parametrize(
    ("text", "differences"),
    [
        ("# read again\n" + TODAY, []),
        (TODAY.replace("registration = 40", "registration     =  0x28").replace("\n", "\r\n"), []),
        (TODAY.replace("2026-01-01T00:00:00Z", "2026-01-01T05:00:00+05:00", 1), []),
        (policy_text(registration=41), [("grants.registration", 40, 41)]),
        (
            policy_text(overdraft="decline", basic=11),
            [("grants.monthly.basic", 10, 11), ("spends.overdraft", "allow", "decline")],
        ),
        (
            TODAY.replace("rising-talent = 30", "top-rated = 30"),
            [("grants.badges.rising-talent", 30, None), ("grants.badges.top-rated", None, 30)],
        ),
        (
            TODAY.replace("effective_from = 2026-01-01T00:00:00Z", "effective_from = 2026-01-02T00:00:00Z"),
            [("effective_from", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))],
        ),
    ],
)
def test_each_key_that_differs_is_shown_with_both_values(text: str, differences: list[object]) -> None:
    assert shown(opened(text, stored(policies(TODAY)), VersionText)) == differences


def test_a_promotion_code_more_in_a_used_version_is_shown_with_its_terms() -> None:
    window = "valid_from = 2026-01-01T00:00:00Z, valid_until = 2026-07-01T00:00:00Z"
    code = f"\nWELCOME = {{ percent_off = 50, charges = 3, {window} }}\n"
    use = opened(with_promo_codes(TODAY, code), stored(policies(TODAY)), VersionText)
    (words,) = use.problems
    assert words == (
        "version 2026-01-01: memberships.promo_codes.WELCOME is { percent_off = 50, charges = 3, valid_from = "
        "2026-01-01T00:00:00Z, valid_until = 2026-07-01T00:00:00Z } in the file and nothing in the ledger"
    )


def test_a_version_that_was_used_and_is_gone_is_refused_first() -> None:
    use = opened(TODAY.replace('version = "2026-01-01"', 'version = "other"'), stored(policies(TODAY)), VersionText)
    assert use.missing == ["2026-01-01"]
    assert (use.refusal or "").startswith("version 2026-01-01 is in the ledger and not in the file; 1 more like this.")


def test_a_new_version_that_begins_in_the_past_of_the_ledger_is_refused() -> None:
    use = opened(TODAY + later_version("2026-05-01"), stored(policies(TODAY)), VersionText)
    assert use.refusal == (
        "version 2026-05-01 is new, and its effective_from, 2026-05-01T00:00:00Z, is in the ledger's past: the ledger "
        "has already decided up to 2026-06-01T00:00:00Z. Give it a later one (see: connects policy check)"
    )


def test_a_ledger_that_has_nothing_yet_takes_any_policy() -> None:
    use = compare(policies(TODAY + later_version("2026-05-01")), [], NOW)
    assert (use.refusal, use.used, use.new) == (None, [], ["2026-01-01", "2026-05-01"])


def test_stored_documents_are_json_that_0_1_0_could_have_stored() -> None:
    (version,) = policies(TODAY).versions
    document = json.loads(msgspec.json.encode(version.stored_document))
    assert document == json.loads(stored_by_0_1_0()[0][0].document)


def test_the_rules_read_a_plain_object() -> None:
    """It is asked millions of times: slots, and no model behind them."""
    (version,) = policies(TODAY).versions
    assert type(version) is Policy
    assert not hasattr(version, "__dict__")
    assert not [one.name for one in fields(version) if isinstance(getattr(version, one.name), BaseModel)]
