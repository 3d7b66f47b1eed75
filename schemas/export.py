"""What is generated from the models and committed: a JSON Schema per topic, and the event catalogue."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema

from schemas.base import Message
from schemas.catalogue import INPUT_TOPICS, KEY_FIELDS, OUTPUT_TOPICS
from schemas.examples import EXAMPLES
from schemas.fields import ID_PATTERN, LARGEST_BIGINT, LONG_ID_PATTERN
from schemas.headers import (
    CLOUD_EVENTS_HEADERS,
    DEAD_LETTER_HEADERS,
    DEAD_LETTER_TOPIC,
    OPTIONAL_HEADERS,
    TRUNCATION_HEADERS,
)

SCHEMA_SUFFIX: Final = ".schema.json"


class PlainJsonSchema(GenerateJsonSchema):
    """JSON Schema without a title for every field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Say no for every field."""
        del schema
        return False


def export(folder: Path) -> list[Path]:
    """Write one JSON Schema per topic into the folder, made if it is missing, and return the files, sorted."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in _schema_files().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def check(folder: Path) -> list[str]:
    """Say what differs between the folder and what `export` would write: a line per file missing, stale or surplus."""
    expected = _schema_files()
    found = {path.name: path for path in folder.glob(f"*{SCHEMA_SUFFIX}")}
    drift = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            drift.append(f"{name}: missing")
        elif name not in expected:
            drift.append(f"{name}: surplus, no topic has this schema")
        elif found[name].read_bytes() != expected[name].encode():
            drift.append(f"{name}: stale, the model has changed")
    return drift


def topic_schema(topic: str) -> dict[str, JsonValue]:
    """Return a topic's message as a JSON Schema (draft 2020-12) with an example."""
    # What may be left out differs: an input's reader has defaults, an output's writer writes every field.
    schema = (
        INPUT_TOPICS[topic].model_json_schema(schema_generator=PlainJsonSchema, mode="validation")
        if topic in INPUT_TOPICS
        else OUTPUT_TOPICS[topic].model_json_schema(schema_generator=PlainJsonSchema, mode="serialization")
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{topic}{SCHEMA_SUFFIX}",
        **schema,
        "examples": [dict(EXAMPLES[topic])],
    }


def catalogue_markdown() -> str:
    """Write docs/event-catalogue.md: every topic with its key, its fields and an example."""
    return "\n".join([*_PREFACE, *_topics("Inputs", INPUT_TOPICS), *_topics("Outputs", OUTPUT_TOPICS), *_headers(), ""])


def _schema_files() -> dict[str, str]:
    return {
        f"{topic}{SCHEMA_SUFFIX}": json.dumps(topic_schema(topic), indent=2, ensure_ascii=False) + "\n"
        for topic in sorted({**INPUT_TOPICS, **OUTPUT_TOPICS})
    }


# The catalogue

_PREFACE: Final = (
    "# Event catalogue",
    "",
    "Generated from `schemas/`; do not edit. JSON objects in UTF-8, one event a message; inputs of at most 256 KiB.",
    "Unknown fields decide nothing, whatever JSON they hold. In a field that may be left out, null counts as left out.",
    '`5.0`, `"5"` and `true` are no integers. Integers stay within 64 bits.',
    "",
    "| kind of value | what it is |",
    "|---|---|",
    "| id | 1 to 64 of `A-Za-z0-9._:-` |",
    "| long id | 1 to 160 of the same |",
    "| instant | RFC 3339 date-time with seconds and an offset, kept in UTC to the microsecond (more digits are cut) |",
    "| date | `YYYY-MM-DD`, a day in UTC |",
    "| text | some of it visible, without NUL |",
)
_KINDS_OF_PATTERN: Final[Mapping[str, str]] = {ID_PATTERN: "id", LONG_ID_PATTERN: "long id"}
_KINDS_OF_FORMAT: Final[Mapping[str, str]] = {"date-time": "instant", "date": "date"}


def _topics(title: str, topics: Mapping[str, type[Message]]) -> Iterator[str]:
    yield from ("", f"## {title}")
    for topic, model in topics.items():
        schema = topic_schema(topic)
        yield from ("", f"### `{topic}`", "", *(model.__doc__ or "").replace("\n    ", "\n").strip().splitlines())
        yield from ("", f"Key: `{KEY_FIELDS[topic]}`.", "", "| field | type | meaning |", "|---|---|---|")
        yield from _rows(schema, _object(schema.get("$defs", {})), prefix="")
        yield from ("", "```json", json.dumps(dict(EXAMPLES[topic]), indent=2, ensure_ascii=False), "```")


def _rows(schema: Mapping[str, JsonValue], definitions: Mapping[str, JsonValue], *, prefix: str) -> Iterator[str]:
    required = schema.get("required", [])
    for name, content in _object(schema["properties"]).items():
        field = _object(content)
        kind = _kind(field)
        if "default" in field and field["default"] is not None:
            kind = f"{kind.removesuffix(' or null')}, {json.dumps(field['default'])} if left out or null"
        elif isinstance(required, list) and name not in required:
            kind += ", optional"
        yield f"| `{prefix}{name}` | {kind} | {field.get('description', '')} |"
        for nested in _references(field):
            below = f"{prefix}{name}{'[]' if field.get('type') == 'array' else ''}."
            yield from _rows(_object(definitions[nested]), definitions, prefix=below)


def _kind(field: Mapping[str, JsonValue]) -> str:  # noqa: PLR0911 - one line per kind of value
    match field:
        case {"anyOf": [*kinds]}:
            return " or ".join(dict.fromkeys(_kind(_object(kind)) for kind in kinds))
        case {"enum": [*values]}:
            return " / ".join(f"`{value}`" for value in values)
        case {"type": "integer", "minimum": int(least), "maximum": int(most)} if most < LARGEST_BIGINT:
            return f"integer, {least:,} to {most:,}"
        case {"type": "integer", "minimum": int(least)} if least <= -LARGEST_BIGINT:
            return "integer"
        case {"type": "integer", "minimum": int(least)}:
            return f"integer, {least:,} or more"
        case {"format": str(name)}:
            return _KINDS_OF_FORMAT[name]
        case {"type": "string", "maxLength": int(most)}:
            return f"text, up to {most:,} characters"
        case {"type": "string", "pattern": str(pattern)}:
            return _KINDS_OF_PATTERN.get(pattern, f"string `{pattern}`".replace("|", "\\|"))
        case {"type": str(name)}:
            return name
        case _:
            return "object"


def _references(field: Mapping[str, JsonValue]) -> Iterator[str]:
    alternatives = field.get("anyOf", [])
    for place in (field, field.get("items", {}), *(alternatives if isinstance(alternatives, list) else ())):
        reference = _object(place).get("$ref")
        if isinstance(reference, str):
            yield reference.rsplit("/", 1)[-1]


def _headers() -> Iterator[str]:
    yield from ("", "## Headers of the outputs", "", "CloudEvents 1.0, binary mode.", "")
    yield from _header_table({**CLOUD_EVENTS_HEADERS, **OPTIONAL_HEADERS})
    yield from ("", f"## `{DEAD_LETTER_TOPIC}`", "")
    yield "What could not be decided: the original key, value and headers unchanged, and these headers. At least once."
    yield ""
    yield from _header_table({**DEAD_LETTER_HEADERS, **TRUNCATION_HEADERS})


def _header_table(headers: Mapping[str, str]) -> Iterator[str]:
    yield from ("| header | meaning |", "|---|---|")
    for name, meaning in headers.items():
        yield f"| `{name}` | {meaning} |"


def _object(content: JsonValue) -> Mapping[str, JsonValue]:
    if not isinstance(content, dict):
        raise TypeError(f"a JSON object was expected here, not {content!r}")
    return content
