"""Reads a policy file; every mistake becomes one line that names the file, the line and the key."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from worker.domain.policy import InterviewTier, Policy, PolicyBook, PromoCode
from worker.domain.policy_text import VERSION_TEXT, Expects, PromoCodeText, VersionText, value_of
from worker.domain.rule_catalogue import POLICY_KEYS

Path = tuple[str, ...]


class PolicyError(ValueError):
    """A policy file that cannot be used; says the line, the key and what it should be.

    The domain imports nothing of the worker, so it is no `WorkerError`; `queries/policies.py` makes one of it.
    """


def read_policy(text: str, name: str, model: type[VersionText] = VERSION_TEXT) -> PolicyBook:
    """Read a policy file's text; `name` is what errors call it, `model` what a version may say.

    Raises:
        PolicyError: naming the line, the key, and what was expected there.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{name}: {error}") from None
    sections = document.get("version")
    if not isinstance(sections, list) or not sections:
        raise PolicyError(f"{name}: no [[version]] in it; a policy is one or more [[version]] sections")
    lines = _Lines(text, name)
    versions = [policy_of(_read_version(section, number, lines, model)) for number, section in enumerate(sections)]
    unknown = sorted(set(document) - {"version"})
    if unknown:
        raise PolicyError(f"{lines.place((unknown[0],), 0)}: unknown key {unknown[0]!r}")
    seen: set[object] = set()
    for number, version in enumerate(versions):
        for key, value in (("version", version.version), ("effective_from", version.effective_from)):
            if value in seen:
                raise PolicyError(f"{lines.place(('version', key), number)}: {key} {value!s} is there twice")
            seen.add(value)
    return PolicyBook(versions)


def policy_of(text: VersionText) -> Policy:
    """One version as the rules read it: a plain object, for it is asked millions of times."""
    grants, refunds, memberships = text.grants, text.refunds, text.memberships
    return Policy(
        version=text.version,
        effective_from=text.effective_from,
        registration=grants.registration,
        certification=grants.certification,
        badges=dict(grants.badges),
        interview_tiers=tuple(InterviewTier(tier.from_cents, tier.connects) for tier in grants.interview_tiers),
        interview_cap=grants.interview_cap,
        interview_cap_window=timedelta(days=grants.interview_cap_days),
        monthly_basic=grants.monthly.basic,
        monthly_plus_paid=grants.monthly.plus_paid,
        monthly_plus_free=grants.monthly.plus_free,
        overdraft=text.spends.overdraft,
        refund_to_ending_lot=refunds.refund_to_ending_lot,
        ending_lot=timedelta(days=refunds.ending_lot_days),
        grace_lot=timedelta(days=refunds.grace_lot_days),
        late_hire=refunds.late_hire,
        least_life=timedelta(days=text.corrections.least_life_days),
        lot_lifetime_years=text.expiry.lot_lifetime_years,
        plus_price_cents=memberships.plus_price_cents,
        currency=memberships.currency,
        late_cycle_start=memberships.late_cycle_start,
        promo_codes={code: _promo_code(terms) for code, terms in memberships.promo_codes.items()},
        amounts={key.path: value_of(text, key) for key in POLICY_KEYS},
        document=text.meaning,
        stored_document=text.without_defaults,
    )


def _promo_code(terms: PromoCodeText) -> PromoCode:
    return PromoCode(terms.percent_off or 0, terms.cents_off or 0, terms.charges, terms.valid_from, terms.valid_until)


def _read_version(section: object, number: int, lines: "_Lines", model: type[VersionText]) -> VersionText:
    try:
        return model.model_validate(section)
    except ValidationError as error:
        complaints = [_complaint(details, model) for details in error.errors(include_url=False)]
    placed = [(complaint, lines.find(("version", *complaint.path), number)) for complaint in complaints]
    complaint, line = min(placed, key=lambda one: (one[0].is_missing, one[1]))
    raise PolicyError(f"{lines.name}, line {line}: {complaint.words}")


class _Complaint(NamedTuple):
    """A mistake at one place. A missing key comes last: a misspelled key explains it."""

    path: Path
    words: str
    is_missing: bool = False


def _complaint(details: ErrorDetails, model: type[VersionText]) -> _Complaint:
    """One of pydantic's errors in words."""
    path = tuple(str(part) for part in details["loc"] if part != "[key]")
    key = path[-1] if path else "version"
    match details["type"]:
        case "extra_forbidden":
            return _Complaint(path, f"{_shown(key)}: unknown key{_perhaps(path, model)}")
        case "missing":
            field = _field(model, path)
            expects = next((one for one in field.metadata if isinstance(one, Expects)), None)
            words = "this section is missing" if expects is None else f"should be {expects.expected}, is missing"
            return _Complaint(path, f"{_shown(key)}: {words}", is_missing=True)
        case "model_type" | "dict_type":
            return _Complaint(path, f"{'.'.join(_shown(part) for part in ('version', *path))} should be a table")
        case _:
            return _Complaint(path, f"{_shown(key)}: {details['msg']}")


def _perhaps(path: Path, model: type[VersionText]) -> str:
    """Suggest what an unknown key may be meant for: the same one elsewhere, or one spelled like it."""
    *above, key = path
    elsewhere = [section for section, known in _sections(model, ("version",)) if key in known.model_fields]
    if elsewhere:
        return f" (it belongs in [{'.'.join(elsewhere[0])}])"
    near = difflib.get_close_matches(key, _keys(_section(model, above)), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _field(model: type[BaseModel], path: Sequence[str]) -> FieldInfo:
    *above, key = path
    return _section(model, above).model_fields[key]


def _section(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The model of the table at that path; below a table whose keys are free, the model of each of its values."""
    for key in path:
        field = model.model_fields.get(key)
        below = None if field is None else _model_in(field.annotation)
        model = model if below is None else below
    return model


def _sections(model: type[BaseModel], path: Path) -> Iterator[tuple[Path, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _sections(field.annotation, (*path, name))


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The section that an annotation names, itself or as what a table or list of it holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)


def _keys(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)


def _shown(key: str) -> str:
    return key if key.isprintable() else ascii(key)


class _Lines:
    """Finds the line of a key in the text, for errors: tomllib keeps none."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines = text.splitlines()

    def place(self, path: Path, version_number: int) -> str:
        return f"{self.name}, line {self.find(path, version_number)}"

    def find(self, path: Path, version_number: int) -> int:
        """The line of that key; else of the key or header above it that is nearest."""
        *table, key = path
        header, versions, best = "", -1, 1
        for number, line in enumerate(self._lines, start=1):
            stripped = line.strip()
            if found := re.match(r"\[\[?\s*([^\]]+?)\s*\]", stripped):
                header = found.group(1)
                versions += header == "version"
                if versions == version_number and _is_at_or_above(header, path):
                    best = number
            elif (
                versions == version_number
                and header == ".".join(table)
                and re.match(rf"[\"']?{re.escape(key)}[\"']?\s*[=.]", stripped)
            ):
                return number
        if len(table) > 1 and best < (above := self.find(tuple(table), version_number)):
            return above
        return best


def _is_at_or_above(header: str, path: Path) -> bool:
    return f"{'.'.join(path)}.".startswith(f"{header}.")
