"""Compares a policy file with the versions that the ledger has stored: a version that was used keeps its meaning.

Versions are compared by their meaning, key by key, with the defaults of this release for the keys that were not there
when the ledger stored a version: a key added at its default changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from worker.domain.policy import Policy, PolicyBook
from worker.domain.policy_text import VERSION_TEXT, VersionText


class StoredVersion(NamedTuple):
    """A policy version as the ledger stored it, with its document as JSON."""

    version: str
    effective_from: datetime
    document: str


class Difference(NamedTuple):
    """A key of a stored version that has another value in the file; None: no such key."""

    version: str
    key: str
    ledger: object
    file: object

    def __str__(self) -> str:
        return (
            f"version {self.version}: {self.key} is {as_written(self.file)} in the file and "
            f"{as_written(self.ledger)} in the ledger"
        )


class KeyDiffers(NamedTuple):
    """A key, dotted, that one document has with another value than another one; None: it has no such key."""

    key: str
    before: object
    after: object


class UnknownKeys(ValueError):
    """A stored version holds keys which this release does not know, and so cannot be read by it.

    Whoever asks handles it at once, so it is no `WorkerError`, of which the domain knows nothing.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = ", ".join(keys)


@dataclass(frozen=True)
class PolicyUse:
    """The versions of a policy file that a ledger has, and what contradicts them. `problems` come in this order."""

    used: list[str]
    """Versions of the ledger that are or were in force there."""
    to_come: list[str]
    """Versions of the ledger that begin after all that it has decided."""
    new: list[str]
    """Versions that it does not have yet."""
    missing: list[str]
    """Versions that it has and the file has not."""
    newer: list[tuple[str, str]]
    """Versions that hold keys which this release does not know, with those keys."""
    differences: list[Difference]
    too_early: list[Policy]
    """New versions that begin before the instant up to which the ledger has decided."""
    business_time: datetime | None

    @property
    def problems(self) -> list[str]:
        """Everything that contradicts the ledger, in words that name the version and the key."""
        return [
            *(f"version {name} is in the ledger and not in the file" for name in self.missing),
            *(
                f"version {name} was stored by a later release: this one cannot read {keys}"
                for name, keys in self.newer
            ),
            *map(str, self.differences),
            *map(self._is_too_early, self.too_early),
        ]

    @property
    def refusal(self) -> str | None:
        """Why a worker must not go on with this file, and what to do about it, in one line; None if it may."""
        if not (problems := self.problems):
            return None
        if self.missing:
            remedy = "Put it back, and make changes as a new [[version]] beside it"
        elif self.newer:
            remedy = "Run the later release"
        elif self.differences:
            remedy = "Put back what the ledger has, and make the change as a new [[version]]"
        else:
            remedy = "Give it a later one"
        more = f"; {len(problems) - 1} more like this" if len(problems) > 1 else ""
        return f"{problems[0]}{more}. {remedy} (see: connects policy check)"

    def _is_too_early(self, policy: Policy) -> str:
        until = "" if self.business_time is None else f" up to {as_written(self.business_time)}"
        return (
            f"version {policy.version} is new, and its effective_from, {as_written(policy.effective_from)}, is in the "
            f"ledger's past: the ledger has already decided{until}"
        )


def compare(
    policies: PolicyBook,
    stored: Sequence[StoredVersion],
    business_time: datetime | None,
    model: type[VersionText] = VERSION_TEXT,
) -> PolicyUse:
    """Compare a file with what the ledger has; a new version has to begin after business time."""
    there = {policy.version: policy for policy in policies.versions}
    known = {one.version: one for one in stored}
    newer: list[tuple[str, str]] = []
    differences: list[Difference] = []
    for name in known.keys() & there.keys():
        try:
            meaning = meaning_of(known[name], model)
        except UnknownKeys as error:
            newer.append((name, error.keys))
            continue
        differences += [Difference(name, *one) for one in differing_keys(meaning, there[name].document)]
    new = [policy for policy in policies.versions if policy.version not in known]
    begun = [policy for policy in new if business_time is not None and policy.effective_from <= business_time]
    used, to_come = by_use(stored, business_time)
    return PolicyUse(
        used=[one.version for one in used],
        to_come=[one.version for one in to_come],
        new=[policy.version for policy in new],
        missing=sorted(known.keys() - there.keys()),
        newer=sorted(newer),
        differences=sorted(differences, key=lambda one: one[:2]),
        too_early=begun if stored else [],
        business_time=business_time,
    )


def meaning_of(stored: StoredVersion, model: type[VersionText] = VERSION_TEXT) -> dict[str, object]:
    """All that a stored version means, with the defaults of this release for the keys that it has not.

    Raises:
        UnknownKeys: a later release stored it.
    """
    try:
        # JSON has its instants as text; apart from that the document is as strict as when it was stored.
        return model.model_validate_json(stored.document, strict=False).meaning
    except ValidationError as error:
        raise UnknownKeys([*_keys(error)]) from None


def by_use(
    stored: Sequence[StoredVersion], business_time: datetime | None
) -> tuple[list[StoredVersion], list[StoredVersion]]:
    """The versions that are or were in force up to business time, and those to come, each in order of time.

    The earliest one is in force from the beginning.
    """
    in_order = sorted(stored, key=lambda one: one.effective_from)
    reached = sum(business_time is not None and one.effective_from <= business_time for one in in_order)
    return in_order[: max(1, reached)], in_order[max(1, reached) :]


def as_written(value: object) -> str:
    """A value as a policy file has it."""
    if value is None:
        return "nothing"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {as_written(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_written, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _keys(error: ValidationError) -> Iterator[str]:
    for details in error.errors(include_url=False):
        yield ".".join(str(part) for part in details["loc"])


def differing_keys(before: Mapping[str, object], after: Mapping[str, object], above: str = "") -> Iterator[KeyDiffers]:
    """The keys whose values differ, section by section; `above` is the name of the section that both are, dotted."""
    for key in {**before, **after}:
        one, other = before.get(key), after.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differing_keys(one, other, f"{above}{key}.")
        elif one != other:
            yield KeyDiffers(f"{above}{key}", one, other)
