"""The REST API: what the pages show, as JSON, with the same access. Errors are problems of RFC 9457."""

from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from worker.console import views
from worker.console.addresses import FOLDERS, ID_PATTERN, MOST_WORDS
from worker.console.desk import Desk, record_lookup
from worker.console.openapi import responses
from worker.console.operators import operators_view
from worker.console.paging import MOST_CURSOR, Cursor, WrongCursor, read_cursor
from worker.console.parameters import KIND_PATTERN
from worker.console.plans import plans_view
from worker.console.problems import problem
from worker.queries.asking import ledger_id_of
from worker.queries.plan_effects import plan_effects
from worker.queries.policy_versions import versions_compared
from worker.replies.finding import WORDS, find_topic
from worker.replies.known import Asked
from worker.replies.people import unknown_freelancer
from worker.replies.reply import Reply
from worker.replies.standing import TOPICS

MOST_ROWS: Final = 200
_NO_TOPIC: Final = "No topic has this name. /api/v1/topics lists all topics."

Key = Annotated[str, Path(pattern=ID_PATTERN, description="An id: letters, digits and . _ : -")]
Whose = Annotated[str | None, Query(pattern=ID_PATTERN, description="With this freelancer's own dates and numbers.")]
Kind = Annotated[str | None, Query(pattern=KIND_PATTERN, description="Only changes under this rule.")]
Words = Annotated[str, Query(min_length=1, max_length=MOST_WORDS, description="An id, or words of a question.")]
Hash = Annotated[str, Path(pattern=ID_PATTERN, description="A plan's hash, or at least 6 characters of its beginning.")]
Version = Annotated[str | None, Query(description="The name of a policy version. Default: the last that were used.")]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="How many changes.")]
Again = Annotated[bool, Query(description="Also take the last decisions again by this release.")]
Next = Annotated[str | None, Query(max_length=MOST_CURSOR, description="`next` of the page before.")]


def api(desk: Desk) -> APIRouter:
    """The API at this desk."""
    router = APIRouter(prefix="/api/v1")
    _add_search(router, desk)
    _add_freelancers(router, desk)
    for role in ("proposal", "job", "event"):
        _add_answers(router, desk, role)
    _add_topics(router, desk)
    _add_operators(router, desk)
    return router


def _add_search(router: APIRouter, desk: Desk) -> None:
    @router.get("/search", **_described("search"))
    async def search(request: Request, q: Words) -> Response:
        words = q.strip()
        found = await views.matches(desk.ledger, words)
        if not found:
            topic, guesses = find_topic(words)
            found = views.topics_found(guesses if topic is None else [topic])
        return _json(request, {"found": found})


def _add_freelancers(router: APIRouter, desk: Desk) -> None:
    @router.get("/freelancers/{freelancer_id}", **_described("freelancer"))
    async def freelancer(request: Request, freelancer_id: Key) -> Response:
        async with desk.ledger.snapshot() as connection:
            view = await views.freelancer_view(connection, freelancer_id, desk.grounds())
        record_lookup(request, "freelancer", freelancer_id, found=view is not None)
        return _unknown(request, unknown_freelancer(freelancer_id)) if view is None else _json(request, view)

    @router.get("/freelancers/{freelancer_id}/changes", **_described("changes"))
    async def changes(
        request: Request, freelancer_id: Key, kind: Kind = None, limit: Limit = 50, cursor: Next = None
    ) -> Response:
        async with desk.ledger.snapshot() as connection:
            ledger = await ledger_id_of(connection)
            try:
                before = None if cursor is None else read_cursor(cursor, ledger, freelancer_id, kind)
            except WrongCursor as error:
                return problem("invalid-cursor", str(error), request.url.path)
            page = await views.page_of_changes(connection, freelancer_id, before, kind, limit)
            known = bool(page.changes) or await views.is_freelancer(connection, freelancer_id)
        record_lookup(request, "freelancer", freelancer_id, found=known)
        if not known:
            return _unknown(request, unknown_freelancer(freelancer_id))
        further = None if page.before is None else Cursor(str(ledger), freelancer_id, kind, page.before).written()
        return _json(request, views.ChangesView(freelancer_id, page.changes, further))


def _add_answers(router: APIRouter, desk: Desk, role: Asked) -> None:
    async def answer(request: Request, key: Key, again: Again = False) -> Response:  # noqa: FBT002 - of the query
        async with desk.ledger.snapshot() as connection:
            view = await views.answer_view(connection, role, key, desk.grounds(), again=again)
        unknown = view.reply.verdict == "unknown"
        record_lookup(request, role, key, found=not unknown)
        return _unknown(request, view.reply) if unknown else _json(request, view)

    router.add_api_route(f"/{FOLDERS[role]}/{{key}}", answer, methods=["GET"], **_described(role))


def _add_operators(router: APIRouter, desk: Desk) -> None:
    @router.get("/operators", **_described("operators"))
    async def operators(request: Request) -> Response:
        return _json(request, await operators_view(desk.ledger, desk.status))

    @router.get("/plans", **_described("plans"))
    async def plans(request: Request) -> Response:
        async with desk.ledger.snapshot() as connection:
            return _json(request, await plans_view(connection))

    @router.get("/plans/{plan}", **_described("plan"))
    async def plan(request: Request, plan: Hash) -> Response:
        async with desk.ledger.snapshot() as connection:
            return _json(request, await plan_effects(connection, plan))

    @router.get("/policies", **_described("policies"))
    async def policies(request: Request, old: Version = None, new: Version = None) -> Response:
        async with desk.ledger.snapshot() as connection:
            return _json(request, await versions_compared(connection, old or None, new or None))


def _add_topics(router: APIRouter, desk: Desk) -> None:
    @router.get("/topics", **_described("topics"))
    async def topics(request: Request) -> Response:
        return _json(request, {"topics": [{"topic": topic, "words": WORDS[topic]} for topic in TOPICS]})

    @router.get("/topics/{topic}", **_described("topic"))
    async def topic(request: Request, topic: Key, freelancer: Whose = None) -> Response:
        if topic not in TOPICS:
            return problem("no-such-topic", _NO_TOPIC, request.url.path)
        if freelancer is None:
            return _json(request, views.general_topic(topic, desk.grounds(), desk.now()))
        async with desk.ledger.snapshot() as connection:
            view = await views.topic_view(connection, topic, freelancer, desk.grounds())
        record_lookup(request, "freelancer", freelancer, found=view is not None)
        return _unknown(request, unknown_freelancer(freelancer)) if view is None else _json(request, view)


_SUMMARIES: Final = {
    "search": "As what an id is known, or which topic words are about",
    "freelancer": "A wallet, in words and numbers",
    "changes": "The changes of a wallet, newest first, in pages",
    "proposal": "What became of the Connects of a proposal, and why",
    "job": "What became of all proposals of a job",
    "event": "What an event, a charge, a purchase or an instant of the clock came to",
    "topics": "All topics, with words that find them",
    "topic": "A standing answer",
    "operators": "How the ledger and its workers are; dead letters and stopped wallets by cause",
    "plans": "The plans that were applied, the last one first: the replay log",
    "plan": "What a plan came to: its steps, sums by rule, wallets, shortfalls, and what was not booked",
    "policies": "The policy versions of the ledger, and how two of them differ",
}


def _described(name: str) -> dict[str, Any]:
    """The description of a path in the OpenAPI document."""
    return {"operation_id": name, "summary": _SUMMARIES[name], "responses": responses(name)}


def _json(request: Request, value: object) -> Response:
    """A value with its ETag, or 304 where the client has it already."""
    body = msgspec.json.encode(value)
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    asked = request.headers.get("if-none-match", "")
    if asked.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in asked.split(",")}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _unknown(request: Request, reply: Reply) -> Response:
    more: dict[str, Any] = {"reply": msgspec.to_builtins(reply)}
    return problem("nothing-on-record", reply.headline, request.url.path, **more)
