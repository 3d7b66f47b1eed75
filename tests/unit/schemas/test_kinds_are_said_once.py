"""A closed list of values, such as the plans or the sources of a charge, is written in one place."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


def kinds() -> Iterator[tuple[str, frozenset[object]]]:
    """Where each `Name = Literal[...]` of a module is, and its values."""
    for path in sorted([*(ROOT / "schemas").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Subscript)
                and isinstance(node.value.value, ast.Name)
                and node.value.value.id == "Literal"
            ):
                values = [value.value for value in ast.walk(node.value.slice) if isinstance(value, ast.Constant)]
                yield f"{path.relative_to(ROOT)}:{node.lineno}", frozenset(values)


def test_no_two_modules_list_the_same_values() -> None:
    places: dict[frozenset[object], list[str]] = defaultdict(list)
    for place, values in kinds():
        places[values].append(place)
    assert len(places) > 20
    assert [where for where in places.values() if len(where) > 1] == []
