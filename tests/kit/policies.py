"""Policies for tests: the real file, with a switch or an amount changed where a test is about that."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from worker.domain.policy import PolicyBook
from worker.domain.policy_file import read_policy

FILE = Path(__file__).parents[2] / "policies" / "connects.toml"


def policy_text(**changes: object) -> str:
    """The first version of policies/connects.toml with these keys changed: `policy_text(overdraft="decline")`."""
    text = "".join(re.split(r"(?m)^(?=\[\[version\]\])", FILE.read_text())[:2])
    for key, value in changes.items():
        line = f"{key} = {_toml(value)}"
        text, found = re.subn(rf"^{key} *= *(?:\[.*?^\]|[^\n]*)", line, text, count=1, flags=re.MULTILINE | re.DOTALL)
        assert found, f"policies/connects.toml has no key {key}"
    return text


def later_version(effective_from: str, **changes: object) -> str:
    """One more `[[version]]` section, in force from that day on and named after it."""
    text = policy_text(version=effective_from, **changes)
    return re.sub(r"^effective_from *=.*$", f"effective_from = {effective_from}T00:00:00Z", text, flags=re.MULTILINE)


PROMO_CODES = """
WELCOME = { percent_off = 50, charges = 3, valid_from = 2026-01-01T00:00:00Z, valid_until = 2036-07-01T00:00:00Z }
FIVEOFF = { cents_off = 500, charges = 1, valid_from = 2026-01-06T00:00:00Z, valid_until = 2026-03-05T00:00:00Z }
FREE = { percent_off = 100, charges = 2, valid_from = 2026-01-01T00:00:00Z, valid_until = 2036-07-01T00:00:00Z }
HUGE = { cents_off = 5000, charges = 1, valid_from = 2026-01-01T00:00:00Z, valid_until = 2036-07-01T00:00:00Z }
ENDED = { percent_off = 7, charges = 9, valid_from = 2025-01-01T00:00:00Z, valid_until = 2026-01-05T00:00:00Z }
"""
"""Codes that histories enter; they also enter one that does not exist."""


def with_promo_codes(text: str, codes: str = PROMO_CODES) -> str:
    """The policy text with these codes in each of its versions."""
    return re.sub(r"(?m)^\[version\.memberships\.promo_codes\].*$", lambda header: f"{header[0]}{codes}", text)


def policies(text: str | None = None, **changes: object) -> PolicyBook:
    """The rules' policies: the real file's first version, with these keys changed, or those of `text`."""
    return _read(text or policy_text(**changes))


@lru_cache(maxsize=64)
def as_document(text: str) -> dict[str, Any]:
    """A policy text as the reference model wants it."""
    return tomllib.loads(text)


@lru_cache(maxsize=64)
def _read(text: str) -> PolicyBook:
    return read_policy(text, "policies/connects.toml")


def _toml(value: object) -> str:
    match value:
        case bool() | int():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict():
            return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
    raise TypeError(f"a policy holds no {type(value).__name__}")
