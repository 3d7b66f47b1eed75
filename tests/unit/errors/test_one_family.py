"""Every error of the worker belongs to one family, so that a caller who handles the family handles all of them."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from worker.errors import LocalStackError, OperatorNeeded, SettingsError, UsageError, WorkerError, WrongFolder

WORKER = Path(__file__).parents[3] / "worker"
OUTSIDE = {
    "worker.domain.cards.CardError",
    "worker.domain.policy_file.PolicyError",
    "worker.domain.policy_use.UnknownKeys",
    "worker.kafka.contact._Unused",
    "worker.proof.following.DoesNotFollow",
    "worker.proof.triggers.NotDue",
    "worker.repair.archives.NoEvent",
    "worker.replies.writing.Missing",
}
"""Their docstrings say why."""


def errors() -> Iterator[tuple[str, type]]:
    """Each exception that a module of the worker defines, by its full name."""
    for path in sorted(WORKER.rglob("*.py")):
        module = ".".join(path.relative_to(WORKER.parent).with_suffix("").parts).removesuffix(".__init__")
        names = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
        if module == "worker.__main__" or "migrations" in path.parts:
            continue
        for name in names:
            found = getattr(import_module(module), name, None)
            if isinstance(found, type) and issubclass(found, BaseException):
                yield f"{module}.{name}", found


def test_every_error_belongs_to_the_family_or_says_why_not() -> None:
    outside = {name: found for name, found in errors() if not issubclass(found, WorkerError)}
    assert outside.keys() == OUTSIDE
    for name, found in outside.items():
        assert "`WorkerError`" in (found.__doc__ or ""), name


def test_what_the_user_set_wrongly_is_known_by_its_class() -> None:
    family = (SettingsError, WrongFolder, LocalStackError, OperatorNeeded)
    assert [error for error in family if issubclass(error, UsageError)] == [SettingsError, WrongFolder]
