"""The policy file: what it may say, and which line is named when it cannot be used."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.policies import FILE, later_version, policies, policy_text
from worker.domain.policy_file import PolicyError, read_policy

AN_INSTANT = "a date and time with offset, like 2026-01-01T00:00:00Z"


def line_of(text: str, beginning: str) -> int:
    """The number of the first line that begins so."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith(beginning))


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as refused:
        read_policy(text, "connects.toml")
    return str(refused.value)


def test_the_policy_of_this_repository_can_be_used() -> None:
    version, *_ = read_policy(FILE.read_text(), FILE.name).versions
    assert (version.version, version.registration, version.badges) == ("2026-01-01", 40, {"rising-talent": 30})
    assert (version.overdraft, version.refund_to_ending_lot, version.late_hire) == ("allow", "grace", "keep")


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("registration", "forty", "registration: should be a whole number from 0 to 1000000, is 'forty'"),
        ("registration", -1, "registration: should be a whole number from 0 to 1000000, is -1"),
        ("registration", True, "registration: should be a whole number from 0 to 1000000, is True"),
        ("certification", 1_000_001, "certification: should be a whole number from 0 to 1000000, is 1000001"),
        ("rising-talent", "a lot", "rising-talent: should be a whole number from 0 to 1000000, is 'a lot'"),
        ("interview_cap_days", 0, "interview_cap_days: should be a whole number from 1 to 3650, is 0"),
        ("interview_tiers", 5, "interview_tiers: should be a list of { from_cents, connects }, is 5"),
        ("overdraft", "maybe", 'overdraft: should be "allow" or "decline", is \'maybe\''),
        ("refund_to_ending_lot", "keep", 'refund_to_ending_lot: should be "grace" or "expire", is \'keep\''),
        ("late_hire", 1, 'late_hire: should be "keep" or "claw-back", is 1'),
        ("late_cycle_start", "", 'late_cycle_start: should be "following-month" or "after-anniversary", is \'\''),
        ("lot_lifetime_years", 0, "lot_lifetime_years: should be a whole number from 1 to 100, is 0"),
        ("currency", "", "currency: should have 1 to 64 characters"),
        ("effective_from", "2026-01-01", "effective_from: should be a date and time with offset, like"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_it_should_be(key: str, value: object, why: str) -> None:
    text = policy_text(**{key: value})
    assert refusal(text).startswith(f"connects.toml, line {line_of(text, key + ' =')}: {why}")


@pytest.mark.parametrize(
    ("tiers", "why"),
    [
        ([{"from_cents": 1}], "each tier needs from_cents and connects, and nothing else"),
        ([{"from_cents": 1, "connects": -5}], "from_cents and connects are whole numbers, 0 or more"),
        (
            [{"from_cents": 9, "connects": 5}, {"from_cents": 1, "connects": 9}],
            "tiers go from the smallest from_cents to the largest, each once",
        ),
    ],
)
def test_interview_tiers_are_checked_too(tiers: list[object], why: str) -> None:
    text = policy_text(interview_tiers=tiers)
    assert refusal(text) == f"connects.toml, line {line_of(text, 'interview_tiers')}: interview_tiers: {why}"


def test_a_missing_key_is_named_with_its_section() -> None:
    text = policy_text().replace("registration = 40", "# registration = 40")
    line = line_of(text, "[version.grants]")
    assert refusal(text) == (
        f"connects.toml, line {line}: registration: should be a whole number from 0 to 1000000, is missing"
    )


def test_a_missing_section_is_named() -> None:
    text = re.sub(r"\[version\.expiry\]\nlot_lifetime_years.*\n", "", policy_text())
    assert refusal(text).endswith(": expiry: this section is missing")


def test_a_missing_choice_is_named_with_what_it_may_be() -> None:
    text = policy_text().replace('overdraft = "allow"', "")
    line = line_of(text, "[version.spends]")
    assert refusal(text) == f'connects.toml, line {line}: overdraft: should be "allow" or "decline", is missing'


def test_an_unknown_key_is_refused_where_it_is() -> None:
    text = policy_text().replace("[version.expiry]\n", "[version.expiry]\nrollover_cap = 200\n")
    assert refusal(text) == f"connects.toml, line {line_of(text, 'rollover_cap')}: rollover_cap: unknown key"


def test_an_unknown_section_is_refused_where_it_is() -> None:
    text = policy_text().replace("[version.expiry]\n", "[version.bonus]\nx = 1\n[version.expiry]\n")
    assert refusal(text) == f"connects.toml, line {line_of(text, '[version.bonus]')}: bonus: unknown key"


def test_a_key_that_is_spelled_like_one_says_which_one_that_is() -> None:
    text = policy_text().replace("registration = 40", "registation = 40")
    assert refusal(text) == (
        f"connects.toml, line {line_of(text, 'registation')}: registation: unknown key (did you mean registration?)"
    )


def test_a_key_under_the_wrong_header_says_where_it_belongs() -> None:
    text = policy_text().replace("[version.expiry]\n", "")
    assert refusal(text) == (
        f"connects.toml, line {line_of(text, 'lot_lifetime_years')}: lot_lifetime_years: unknown key "
        "(it belongs in [version.expiry])"
    )


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ("charges = 1", "CODE: needs percent_off or cents_off, one of the two"),
        ("charges = 1, percent_off = 5, cents_off = 5", "CODE: needs percent_off or cents_off, one of the two"),
        ("charges = 0, percent_off = 5", "charges: should be a whole number from 1 to 1000, is 0"),
        ("charges = 1, percent_off = 101", "percent_off: should be a whole number from 1 to 100, is 101"),
        ("charges = 1, cents_of = 5", "cents_of: unknown key (did you mean cents_off?)"),
    ],
)
def test_what_is_wrong_in_a_promotion_code_is_named_with_the_line_of_the_code(terms: str, why: str) -> None:
    window = "valid_from = 2026-01-01T00:00:00Z, valid_until = 2027-01-01T00:00:00Z"
    header = "[version.memberships.promo_codes]"
    text = FILE.read_text().replace(header, f"{header}\nCODE = {{ {terms}, {window} }}")
    assert refusal(text) == f"connects.toml, line {line_of(text, 'CODE')}: {why}"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ("2026-01-01", f"should be {AN_INSTANT}, is 2026-01-01"),
        ("2026-01-01T00:00:00", "needs an offset, like 2026-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+05:00", f"should be {AN_INSTANT}, is 0001-01-01T00:00:00+05:00"),
    ],
)
def test_a_date_that_is_no_instant_is_shown_as_it_was_written(found: str, why: str) -> None:
    text = policy_text().replace("effective_from = 2026-01-01T00:00:00Z", f"effective_from = {found}")
    assert refusal(text) == f"connects.toml, line {line_of(text, 'effective_from')}: effective_from: {why}"


@pytest.mark.parametrize("broken", ["badges = 5", "promo_codes = 5", "monthly = 5"])
def test_a_value_in_place_of_a_table_is_refused_where_it_is(broken: str) -> None:
    key = broken.split(maxsplit=1)[0]
    section = "memberships" if key == "promo_codes" else "grants"
    text = re.sub(rf"^\[version\.{section}\.{key}\].*\n(?:(?!\[).*\n)*", "", policy_text(), flags=re.MULTILINE)
    text = text.replace(f"[version.{section}]\n", f"[version.{section}]\n{broken}\n")
    assert refusal(text) == (f"connects.toml, line {line_of(text, broken)}: version.{section}.{key} should be a table")


def test_a_version_that_is_no_table_is_refused() -> None:
    assert refusal("version = [1]") == "connects.toml, line 1: version should be a table"


def test_an_unknown_key_at_the_top_is_refused_where_it_is() -> None:
    assert refusal("colour = 1\n" + policy_text()) == "connects.toml, line 1: unknown key 'colour'"


def test_an_error_in_a_later_version_names_the_line_there() -> None:
    text = policy_text() + later_version("2026-07-01", registration="x")
    first = line_of(text, "registration")
    assert refusal(text).startswith(f"connects.toml, line {len(policy_text().splitlines()) + first}: registration")


@pytest.mark.parametrize("changed", ['version = "2026-01-01"', "effective_from = 2026-01-01T00:00:00Z"])
def test_a_name_or_a_date_that_is_there_twice_is_refused_at_the_second(changed: str) -> None:
    key = changed.split(" ", 1)[0]
    later = "\n".join(
        changed if line.startswith(f"{key} =") else line for line in later_version("2026-07-01").splitlines()
    )
    text = policy_text() + later
    wanted = len(policy_text().splitlines()) + line_of(later, f"{key} =")
    assert refusal(text).startswith(f"connects.toml, line {wanted}: {key} ")
    assert refusal(text).endswith("is there twice")


@pytest.mark.parametrize("text", ["", "version = 1", "[version]\n", "[[versions]]\n"])
def test_a_file_without_a_version_is_refused(text: str) -> None:
    assert refusal(text) == "connects.toml: no [[version]] in it; a policy is one or more [[version]] sections"


def test_text_that_is_no_toml_is_refused_with_its_line() -> None:
    assert refusal("[[version]]\nversion = 2026-01\n").startswith("connects.toml: ")
    assert "line 2" in refusal("[[version]]\nversion = 2026-01\n")


def test_a_version_is_in_force_from_its_date_until_the_next_one() -> None:
    text = later_version("2027-01-01") + policy_text() + later_version("2026-07-01")
    book = policies(text)
    midsummer = datetime(2026, 7, 1, tzinfo=UTC)
    instants = [
        datetime(1999, 1, 1, tzinfo=UTC),
        midsummer - timedelta(microseconds=1),
        midsummer,
        datetime(2026, 12, 31, 23, 59, tzinfo=UTC),
        datetime(2040, 1, 1, tzinfo=UTC),
    ]
    assert [book.in_force(instant).version for instant in instants] == [
        "2026-01-01",
        "2026-01-01",
        "2026-07-01",
        "2026-07-01",
        "2027-01-01",
    ]


def test_a_date_with_an_offset_is_an_instant() -> None:
    text = policy_text().replace("effective_from = 2026-01-01T00:00:00Z", "effective_from = 2026-01-01T00:00:00+05:00")
    (version,) = policies(text).versions
    assert version.effective_from == datetime(2025, 12, 31, 19, tzinfo=UTC)


def test_the_hash_changes_with_what_a_version_says_and_not_with_how_it_is_written() -> None:
    (version,) = policies().versions
    (commented,) = policies("# a comment\n" + policy_text()).versions
    (changed,) = policies(certification=21).versions
    assert version.hash == commented.hash != changed.hash


@pytest.mark.parametrize("code", ["SAVE 50%", "été", "x" * 200])
def test_a_promotion_code_is_any_line_of_text(code: str) -> None:
    assert code in read_policy(with_code(code), "connects.toml").versions[0].promo_codes


@pytest.mark.parametrize(
    ("code", "shown"),
    [("", ""), ("  ", "  "), ("x" * 201, "x" * 201), ("\\u001b[2J", "'\\x1b[2J'"), ("a\\nb", "'a\\nb'")],
)
def test_a_promotion_code_that_nobody_could_enter_is_refused(code: str, shown: str) -> None:
    assert refusal(with_code(code)).endswith(
        f": {shown}: a promotion code is a line of 1 to 200 characters: nobody could enter this one"
    )


def with_code(code: str) -> str:
    terms = "{ percent_off = 5, charges = 1, valid_from = 2026-01-01T00:00:00Z, valid_until = 2027-01-01T00:00:00Z }"
    header = "[version.memberships.promo_codes]"
    return FILE.read_text().replace(header, f'{header}\n"{code}" = {terms}')
