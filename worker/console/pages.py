"""The pages for people: one search, a freelancer, a proposal, a job, an event, standing answers; those of operators."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from worker.console import views
from worker.console.addresses import FOLDERS, MOST_WORDS, NO_ID, is_id, page_of_topic
from worker.console.chart import balance_chart
from worker.console.csv_file import history_as_csv
from worker.console.desk import Desk, record_lookup
from worker.console.operators import operators_view
from worker.console.parameters import WrongParameter, freelancer_typed, kind_typed, version_typed
from worker.console.plans import plans_view
from worker.console.problems import problem
from worker.console.rendering import page, static_file
from worker.queries.plan_effects import plan_effects
from worker.queries.policy_versions import versions_compared
from worker.replies.finding import WORDS, find_topic
from worker.replies.known import Asked
from worker.replies.people import unknown_freelancer
from worker.replies.standing import TOPICS

ROWS: Final = 50
"""Changes on a page of a history."""
_ROLES: Final[dict[str, Asked]] = {folder: role for role, folder in FOLDERS.items()}

Page = Callable[[Desk, Request], Awaitable[Response]]


def add_pages(app: FastAPI, desk: Desk) -> None:
    """Add all pages to the application."""
    pages: dict[str, Page] = {
        "/": _start,
        "/search": _search,
        "/freelancers/{id}": _freelancer,
        "/freelancers/{id}/history.csv": _csv,
        "/proposals/{id}": _answer,
        "/jobs/{id}": _answer,
        "/events/{id}": _answer,
        "/questions": _questions,
        "/questions/{topic}": _question,
        "/operators": _operators,
        "/plans": _plans,
        "/plans/{id}": _plan,
        "/policies": _policies,
        "/static/{name}": _static,
        "/health/live": _live,
        "/health/ready": _ready,
    }
    for path, served in pages.items():
        app.add_route(path, _at(desk, served), methods=["GET"], include_in_schema=False)


def _at(desk: Desk, served: Page) -> Callable[[Request], Awaitable[Response]]:
    """The page at this desk; an id in its path is checked before anything else."""

    async def endpoint(request: Request) -> Response:
        key = request.path_params.get("id")
        if key is not None and not is_id(key):
            return problem("invalid-id", NO_ID.capitalize(), request.url.path)
        try:
            return await served(desk, request)
        except WrongParameter as error:
            return problem("invalid-parameter", str(error), request.url.path)

    return endpoint


async def _start(_desk: Desk, _request: Request) -> Response:
    return page("start.html", topics=TOPICS)


async def _search(desk: Desk, request: Request) -> Response:
    """Go to the one thing that was found, list several, or say what was looked for."""
    words = request.query_params.get("q", "").strip()
    if not words:
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)
    if len(words) > MOST_WORDS:
        return problem("invalid-parameter", f"Ask in at most {MOST_WORDS} characters.", request.url.path)
    found = await views.matches(desk.ledger, words)
    if len(found) == 1:
        return RedirectResponse(found[0].page, HTTPStatus.SEE_OTHER)
    if found:
        return page("found.html", words=words, found=found)
    topic, guesses = find_topic(words)
    if topic is not None:
        return RedirectResponse(page_of_topic(topic), HTTPStatus.SEE_OTHER)
    return page("found.html", HTTPStatus.NOT_FOUND, words=words, found=views.topics_found(guesses))


async def _freelancer(desk: Desk, request: Request) -> Response:
    key = request.path_params["id"]
    kind, before = kind_typed(request.query_params), version_typed(request.query_params)
    async with desk.ledger.snapshot() as connection:
        view = await views.freelancer_view(connection, key, desk.grounds())
        record_lookup(request, "freelancer", key, found=view is not None)
        if view is None:
            elsewhere = await views.found_by(connection, key)
            return _unknown(unknown_freelancer(key), key, elsewhere)
        rows = await views.page_of_changes(connection, key, before, kind, ROWS)
        recent = (await views.page_of_changes(connection, key, None, None, views.MOST_CHARTED)).changes
    chart = balance_chart(recent)
    return page("freelancer.html", view=view, rows=rows, kind=kind, before=before, chart=chart)


async def _csv(desk: Desk, request: Request) -> Response:
    key, kind = request.path_params["id"], kind_typed(request.query_params)
    before = version_typed(request.query_params)
    async with desk.ledger.snapshot() as connection:
        known = await views.is_freelancer(connection, key)
        rows = await views.page_of_changes(connection, key, before, kind, views.MOST_IN_A_FILE)
    record_lookup(request, "freelancer", key, found=known)
    return history_as_csv(key, rows) if known else _unknown(unknown_freelancer(key), key, [])


async def _answer(desk: Desk, request: Request) -> Response:
    """A proposal, a job or an event."""
    role, key = _ROLES[request.url.path.split("/")[1]], request.path_params["id"]
    again = request.query_params.get("again") == "1"
    async with desk.ledger.snapshot() as connection:
        view = await views.answer_view(connection, role, key, desk.grounds(), again=again)
        unknown = view.reply.verdict == "unknown"
        elsewhere = await views.found_by(connection, key) if unknown else []
    record_lookup(request, role, key, found=not unknown)
    return _unknown(view.reply, key, elsewhere) if unknown else page("answer.html", role=role, view=view)


def _unknown(reply: object, key: str, elsewhere: list[views.Match]) -> Response:
    return page("unknown.html", HTTPStatus.NOT_FOUND, reply=reply, key=key, found=elsewhere)


async def _questions(_desk: Desk, request: Request) -> Response:
    topics = {topic: WORDS[topic][:3] for topic in TOPICS}
    return page("questions.html", topics=topics, freelancer=freelancer_typed(request.query_params))


async def _question(desk: Desk, request: Request) -> Response:
    topic, freelancer = request.path_params["topic"], freelancer_typed(request.query_params)
    if topic not in TOPICS:
        return problem("no-such-topic", "No topic has this name. The start page lists all topics.", request.url.path)
    if freelancer is None:
        return page("question.html", view=views.general_topic(topic, desk.grounds(), desk.now()))
    async with desk.ledger.snapshot() as connection:
        view = await views.topic_view(connection, topic, freelancer, desk.grounds())
    record_lookup(request, "freelancer", freelancer, found=view is not None)
    if view is None:
        return _unknown(unknown_freelancer(freelancer), freelancer, [])
    return page("question.html", view=view)


async def _operators(desk: Desk, _request: Request) -> Response:
    return page("operators.html", view=await operators_view(desk.ledger, desk.status))


async def _plans(desk: Desk, _request: Request) -> Response:
    async with desk.ledger.snapshot() as connection:
        return page("plans.html", view=await plans_view(connection))


async def _plan(desk: Desk, request: Request) -> Response:
    async with desk.ledger.snapshot() as connection:
        view = await plan_effects(connection, request.path_params["id"])
    return page("plan.html", view=view)


async def _policies(desk: Desk, request: Request) -> Response:
    old, new = (request.query_params.get(name) or None for name in ("old", "new"))
    async with desk.ledger.snapshot() as connection:
        view = await versions_compared(connection, old, new)
    return page("policies.html", view=view)


async def _static(_desk: Desk, request: Request) -> Response:
    found = static_file(request.path_params["name"])
    return found or problem("no-such-page", "The console has no such file.", request.url.path)


async def _live(_desk: Desk, _request: Request) -> Response:
    return PlainTextResponse("live\n")


async def _ready(desk: Desk, _request: Request) -> Response:
    """200 while the ledger can be read; otherwise the response says why, as every page does."""
    async with desk.ledger.snapshot():
        return PlainTextResponse("ready\n")
