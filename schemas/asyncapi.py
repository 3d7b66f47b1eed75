"""The AsyncAPI 3.0 document of the worker, from the same models."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from schemas.base import Message
from schemas.catalogue import INPUT_TOPICS, KEY_FIELDS, OUTPUT_TOPICS
from schemas.examples import EXAMPLES
from schemas.export import PlainJsonSchema
from schemas.headers import (
    CLOUD_EVENTS_HEADERS,
    DEAD_LETTER_HEADERS,
    DEAD_LETTER_TOPIC,
    OPTIONAL_HEADERS,
    TRUNCATION_HEADERS,
)

JsonObject: TypeAlias = dict[str, JsonValue]

_DEAD_LETTER: Final = "DeadLetter"
_KAFKA_BINDING_VERSION: Final = "0.5.0"


def asyncapi_document(*, title: str, version: str, prefix: str = "") -> JsonObject:
    """Describe what the worker receives and sends; `prefix` is put before each topic's name, as in the deployment."""
    outputs = [*OUTPUT_TOPICS, DEAD_LETTER_TOPIC]
    names = {
        **{topic: model.__name__ for topic, model in (*INPUT_TOPICS.items(), *OUTPUT_TOPICS.items())},
        DEAD_LETTER_TOPIC: _DEAD_LETTER,
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": "application/json",
        "channels": {topic: _channel(name, prefix + topic) for topic, name in names.items()},
        "operations": {
            **{f"receive-{topic}": _operation("receive", topic, names[topic]) for topic in INPUT_TOPICS},
            **{f"send-{topic}": _operation("send", topic, names[topic]) for topic in outputs},
        },
        "components": {
            "messages": {
                **{model.__name__: _message(topic, model) for topic, model in INPUT_TOPICS.items()},
                **{
                    model.__name__: {
                        **_message(topic, model),
                        "headers": _headers(CLOUD_EVENTS_HEADERS, OPTIONAL_HEADERS),
                    }
                    for topic, model in OUTPUT_TOPICS.items()
                },
                _DEAD_LETTER: _dead_letter(),
            },
            "schemas": _schemas(),
        },
    }


def _channel(message: str, address: str) -> JsonObject:
    return {"address": address, "messages": {message: {"$ref": f"#/components/messages/{message}"}}}


def _operation(action: str, topic: str, message: str) -> JsonObject:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{message}"}],
    }


def _message(topic: str, model: type[Message]) -> JsonObject:
    summary, _, description = (model.__doc__ or "").partition("\n")
    message: JsonObject = {
        "name": model.__name__,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": [{"payload": dict(EXAMPLES[topic])}],
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"The message's {KEY_FIELDS[topic]}."},
                "bindingVersion": _KAFKA_BINDING_VERSION,
            }
        },
    }
    if description:
        message["description"] = " ".join(description.split())
    return message


def _dead_letter() -> JsonObject:
    return {
        "name": _DEAD_LETTER,
        "summary": "A record that can never be decided: its own key, value and headers unchanged, and why.",
        "contentType": "application/octet-stream",
        "payload": {"description": "The original value, whatever it was."},
        "headers": _headers(DEAD_LETTER_HEADERS, TRUNCATION_HEADERS),
    }


def _headers(always: Mapping[str, str], sometimes: Mapping[str, str]) -> JsonObject:
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": meaning} for name, meaning in {**always, **sometimes}.items()
        },
        "required": list(always),
    }


def _schemas() -> JsonObject:
    _, schemas = models_json_schema(
        [
            *((model, "validation") for model in INPUT_TOPICS.values()),
            *((model, "serialization") for model in OUTPUT_TOPICS.values()),
        ],
        schema_generator=PlainJsonSchema,
        ref_template="#/components/schemas/{model}",
    )
    definitions: JsonObject = schemas["$defs"]
    return definitions
