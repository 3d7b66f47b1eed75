"""The OpenAPI document: schemas of the values themselves, and an example for each path."""

from collections.abc import Mapping
from functools import cache
from types import GenericAlias
from typing import Any, Final, get_type_hints

import msgspec
from fastapi import FastAPI

from worker.console import views
from worker.console.examples import EXAMPLES
from worker.console.operators import OperatorsView
from worker.console.plans import PlansView
from worker.console.problems import KINDS, document
from worker.queries.history import ChangeRecord
from worker.queries.plan_effects import PlanEffects
from worker.queries.policy_versions import VersionsCompared
from worker.release import release

_REF: Final = "#/components/schemas/{name}"


class SearchResult(msgspec.Struct, frozen=True):
    """The meanings that an id or words may have."""

    found: list[views.Match]


class Topic(msgspec.Struct, frozen=True):
    """A topic, and words that find it."""

    topic: str
    words: list[str]


class Topics(msgspec.Struct, frozen=True):
    """All topics."""

    topics: list[Topic]


class Problem(msgspec.Struct, frozen=True):
    """A failure (RFC 9457). An id of which nothing is on record has the `reply` too."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class Cause(msgspec.Struct, frozen=True):
    """The cause of a change: an input record with its place, an event that was added with the decision on it (`added`).

    An instant of the clock or a command has an id only.
    """

    event_id: str | None
    topic: str | None
    incarnation: int | None = None
    partition: int | None = None
    offset: int | None = None
    added: int | None = None


def _with(value: type[msgspec.Struct], **types: object) -> type[msgspec.Struct]:
    """The same value with other types of some fields, for its schema: one for either cause is easier to read."""
    fields = [(name, types.get(name, kind)) for name, kind in get_type_hints(value).items()]
    return msgspec.defstruct(value.__name__, fields, namespace={"__doc__": value.__doc__})


_CHANGE: Final = _with(ChangeRecord, cause=Cause)
VALUES: Final[Mapping[str, type]] = {
    "search": SearchResult,
    "freelancer": views.FreelancerView,
    "changes": _with(views.ChangesView, changes=GenericAlias(list, (_CHANGE,))),
    "proposal": views.AnswerView,
    "job": views.AnswerView,
    "event": views.AnswerView,
    "topics": Topics,
    "topic": views.TopicView,
    "operators": OperatorsView,
    "plans": PlansView,
    "plan": PlanEffects,
    "policies": VersionsCompared,
}
_PROBLEMS: Final = {
    "400": "invalid-parameter",
    "401": "wrong-token",
    "404": "nothing-on-record",
    "503": "ledger-away",
}


def responses(name: str) -> dict[int | str, dict[str, Any]]:
    """The responses of a path: its value, and the problems that it may have."""
    schema = {"$ref": _REF.format(name=VALUES[name].__name__)}
    found: dict[int | str, dict[str, Any]] = {
        "200": {
            "description": "Found.",
            "headers": {
                "ETag": {"schema": {"type": "string"}, "description": "Send it as If-None-Match: 304 if same."}
            },
            "content": {"application/json": {"schema": schema}},
        }
    }
    for status, kind in _PROBLEMS.items():
        example = document(kind, KINDS[kind].title, "/api/v1/...")
        content = {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}, "example": example}}
        found[status] = {"description": KINDS[kind].title, "content": content}
    return found


def _any(_type: type) -> dict[str, Any]:
    """The schema of a fact, which may be any value."""
    return {"description": "Text, a whole number, a list, or null."}


def describe(app: FastAPI, *, has_token: bool) -> None:
    """Let the application describe itself so."""

    @cache
    def described() -> dict[str, Any]:
        made = FastAPI.openapi(app)
        _, schemas = msgspec.json.schema_components({*VALUES.values(), Problem}, ref_template=_REF, schema_hook=_any)
        components = made.setdefault("components", {})
        components["schemas"] = {**schemas}
        for path in made["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)  # what cannot be used is a problem with status 400
                found = operation["responses"]["200"]["content"]["application/json"]
                found["example"] = EXAMPLES[operation["operationId"]]  # FastAPI leaves out what is null
        if has_token:
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"token": []}]
        return made

    app.openapi = described  # type: ignore[method-assign] # as FastAPI's documentation extends it
    app.version = release()
