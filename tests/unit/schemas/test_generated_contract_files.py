"""The committed files are those that the models generate now."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.asyncapi import asyncapi_document
from schemas.catalogue import INPUT_TOPICS, KEY_FIELDS, OUTPUT_TOPICS
from schemas.examples import EXAMPLES
from schemas.export import check, export, topic_schema
from schemas.headers import DEAD_LETTER_TOPIC
from worker.words.catalogue import event_catalogue

ROOT = Path(__file__).parents[3]
TOPICS = {**INPUT_TOPICS, **OUTPUT_TOPICS}
GENERATE = "Was that meant? Then `connects schemas export --catalogue docs/event-catalogue.md`, and read what git says."


def test_the_committed_json_schemas_are_those_of_the_models() -> None:
    assert check(ROOT / "schemas" / "json") == [], GENERATE


def test_the_committed_event_catalogue_is_that_of_the_models_and_cards() -> None:
    committed = (ROOT / "docs" / "event-catalogue.md").read_text(encoding="utf-8")
    assert committed == event_catalogue(), GENERATE


CONTRACT = {
    *("job-closed", "hire-made", "proposal-submitted", "proposal-withdrawn", "boost-outbid", "freelancer-registered"),
    *("badge-earned", "certification-completed", "interview-won", "connects-purchased", "connects-adjusted"),
    *("membership-plan-chosen", "promo-code-entered", "membership-charge-settled", "earnings-balance-updated"),
    *("account-suspended", "account-reinstated"),
}
"""What other teams send. A topic may be added; none of these may go."""


def test_the_contract_keeps_its_17_inputs_and_has_3_outputs() -> None:
    assert set(INPUT_TOPICS) >= CONTRACT
    assert (len(CONTRACT), len(OUTPUT_TOPICS)) == (17, 3)
    assert set(KEY_FIELDS) == set(TOPICS) == set(EXAMPLES)
    assert all(key in TOPICS[topic].model_fields for topic, key in KEY_FIELDS.items())


def test_export_writes_a_file_per_topic_twice_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    paths = export(folder)
    assert [path.name for path in paths] == sorted(f"{topic}.schema.json" for topic in TOPICS)
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in export(folder)] == before
    assert check(folder) == []


def test_check_names_what_is_missing_stale_or_surplus(tmp_path: Path) -> None:
    export(tmp_path)
    (tmp_path / "job-closed.schema.json").unlink()
    (tmp_path / "hire-made.schema.json").write_text("{}\n")
    (tmp_path / "job-opened.schema.json").write_text("{}\n")
    (tmp_path / "README.md").write_text("not ours to judge\n")
    assert check(tmp_path) == [
        "hire-made.schema.json: stale, the model has changed",
        "job-closed.schema.json: missing",
        "job-opened.schema.json: surplus, no topic has this schema",
    ]


def test_a_folder_that_is_not_there_misses_everything(tmp_path: Path) -> None:
    assert len(check(tmp_path / "nowhere")) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_schema_carries_a_valid_example_and_describes_every_field(topic: str) -> None:
    schema = topic_schema(topic)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["description"]
    for example in schema["examples"]:
        TOPICS[topic].model_validate_json(json.dumps(example))
        assert set(schema["required"]) <= set(example) <= set(schema["properties"])
    places = [schema, *schema.get("$defs", {}).values()]
    assert all(field.get("description") for place in places for field in place["properties"].values())


def test_the_asyncapi_document_receives_inputs_and_sends_outputs_under_the_deployments_prefix() -> None:
    document = asyncapi_document(title="Connects", version="1.2.3", prefix="staging.")
    assert (document["asyncapi"], document["info"]) == ("3.0.0", {"title": "Connects", "version": "1.2.3"})
    assert {channel["address"] for channel in document["channels"].values()} == {
        f"staging.{topic}" for topic in (*TOPICS, DEAD_LETTER_TOPIC)
    }
    actions = {name: operation["action"] for name, operation in document["operations"].items()}
    assert actions == {f"receive-{topic}": "receive" for topic in INPUT_TOPICS} | {
        f"send-{topic}": "send" for topic in (*OUTPUT_TOPICS, DEAD_LETTER_TOPIC)
    }


def references(content: object) -> Iterator[str]:
    if isinstance(content, dict):
        if isinstance(content.get("$ref"), str):
            yield content["$ref"]
        for value in content.values():
            yield from references(value)
    elif isinstance(content, list):
        for value in content:
            yield from references(value)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi_document(title="Connects", version="1")
    assert json.loads(json.dumps(document)) == document
    for reference in set(references(document)):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place
