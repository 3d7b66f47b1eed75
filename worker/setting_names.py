"""Names that look like settings and are not, in the environment and in `.env`: mistyped, most likely."""

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Final

from worker import env_file
from worker.env_file import EnvFile
from worker.service_links import service_links

OURS: Final = "CONNECTS_"
_NEARLY: Final = 0.9
"""How much a name of another program may look like a conventional one before it is taken for a mistyped one."""
_CLOSE: Final = 0.8


def unknown_names(given: Iterable[str], known: frozenset[str], present: Iterable[str]) -> list[str]:
    """Those of the given names that look like one of the known settings and are not one of them.

    A name of another program may resemble a conventional one of ours, such as DATABASE_URL. It counts only where ours
    is not among the names that are `present`.
    """
    found = {name.upper() for name in present}
    missing = [name for name in known if not name.startswith(OURS) and name not in found]
    return sorted(
        name
        for name in given
        if name.upper() not in known
        and (name.upper().startswith(OURS) or any(_resembles(name.upper(), ours) for ours in missing))
    )


def mistyped_names(file: EnvFile, environment: Mapping[str, str], known: frozenset[str]) -> dict[str, str]:
    """The names in the environment or in `.env` that look like settings and are not, with a line about each."""
    links = service_links(environment, OURS)
    environment = {name: value for name, value in environment.items() if name not in links}
    present = (*environment, *file.values)
    found = {name: f"{env_file.NAME}, line {file.lines[name]}" for name in unknown_names(file.values, known, present)}
    found |= dict.fromkeys(unknown_names(environment, known, present), "")
    return {
        name: f"{name}{f' ({where})' if where else ''} is no setting. Is it mistyped?{_meant(name, known)}"
        for name, where in sorted(found.items())
    }


def _resembles(name: str, ours: str) -> bool:
    same_family = name.startswith(ours.partition("_")[0] + "_")
    return same_family and SequenceMatcher(None, name, ours).ratio() >= _NEARLY


def _meant(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name.upper(), sorted(known), 1, _CLOSE)
    return f" {close[0]} is one." if close else ""
