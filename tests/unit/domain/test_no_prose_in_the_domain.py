"""The rules make facts; worker/words makes sentences of them. English in worker/domain is for developers only."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOMAIN = sorted((ROOT / "worker" / "domain").rglob("*.py"))
POLICY_ERRORS = {"policy_file.py", "policy_text.py", "policy_use.py"}
"""What they say is why a policy file is refused: error messages, which are put together before they are raised."""
CARD_ERRORS = {"cards.py", "rule_catalogue.py"}
"""The same of a card that is not complete."""
OURS = ("schemas", "worker.domain")
LIBRARIES = {"msgspec", "pydantic", "pydantic_core"}


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Constants with a space between two words, except docstrings and what is raised."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Raise | ast.Assert):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value
        yield from texts(node)


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: path.stem)
def test_no_text_of_the_domain_is_a_sentence(path: Path) -> None:
    if path.name in POLICY_ERRORS | CARD_ERRORS:
        return
    assert list(texts(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_the_guard_sees_sentences_and_leaves_docstrings_and_errors_out() -> None:
    source = '"""A docstring."""\ndef f(n):\n    """Another."""\n    raise ValueError(f"no such {n}")\n'
    assert list(texts(ast.parse(source))) == []
    assert list(texts(ast.parse('def f(n):\n    return f"{n} Connects granted"\n'))) == [(2, " Connects granted")]


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: path.stem)
def test_the_domain_imports_the_standard_library_schemas_and_itself(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            top = name.partition(".")[0]
            assert name.startswith(OURS) or top in LIBRARIES | sys.stdlib_module_names, f"{path.name} imports {name}"
