"""Pages as HTML: templates that escape every value, and the few forms in which values are shown."""

import re
from datetime import date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from schemas.fields import rfc3339
from worker.console import addresses
from worker.plain_text import plain
from worker.queries.figures import figures_of
from worker.queries.lookups import REFUSALS_AMONG
from worker.release import release
from worker.replies.writing import SHOWN_BY_THE_COMMAND
from worker.words.operators import SHOWN_OF_A_HASH
from worker.words.phrases import connects, counted, money
from worker.words.times import to_the_minute

_FOLDER: Final = Path(__file__).parent
_STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_VERDICTS: Final = {
    "yes": "Yes",
    "no": "No",
    "partly": "Partly",
    "not-yet": "Not decided yet",
    "nothing-due": "Nothing to return",
    "info": "Reply",
    "unknown": "Nothing on record",
}
_STATES: Final = {
    "back": "Came back",
    "deciding": "Decided in a moment",
    "free": "Cost nothing",
    "kept": "Did not come back",
    "open": "Not decided yet",
}
_OF_PROPOSALS: Final = {"yes": "Came back", "no": "Did not come back", "partly": "Partly came back"}

_WRITTEN: Final = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?: UTC)?\b")


def page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:  # noqa: ANN401
    """A page of a template."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status)


def static_file(name: str) -> Response | None:
    """A file that pages load; None: there is none of that name."""
    if name not in _STATIC:
        return None
    body = (_FOLDER / "static" / name).read_bytes()
    return Response(body, headers={"Content-Type": _STATIC[name], "Cache-Control": "public, max-age=3600"})


def instant(at: datetime) -> Markup:
    """An instant in UTC, which a script shows in the reader's own zone."""
    return Markup('<time datetime="{}">{}</time>').format(rfc3339(at), to_the_minute(at))


def with_instants(text: object) -> Markup:
    """Plain text of operators, whose instants (worker.words.times.when) a script shows in the reader's own zone."""
    escaped = str(escape(plain(text)))  # before Python 3.12 a pattern's replacement in Markup is escaped as well
    return Markup(_WRITTEN.sub(r'<time datetime="\1T\2Z">\1 \2 UTC</time>', escaped))  # noqa: S704 - as above


def on_day(at: date) -> Markup:
    """A whole day in UTC, which is the same for every reader."""
    return Markup('<time datetime="{0}" title="a day in UTC">{0}</time>').format(f"{at:%Y-%m-%d}")


def signed(count: int) -> str:
    """A change, with its sign."""
    return f"{count:+d}".replace("-", "\N{MINUS SIGN}")


def verdict_in_words(verdict: str, numbers: dict[str, int]) -> str:
    """A verdict in three words and a number."""
    if "spent" not in numbers:
        return _VERDICTS[verdict]
    words = _OF_PROPOSALS.get(verdict, _VERDICTS[verdict])
    return f"{words}: {numbers.get('back', 0)} of {numbers['spent']}"


def for_agents(line: str) -> str:
    """A line for the agent, which names what a page has in the place of an option of the command."""
    return plain(line).replace(SHOWN_BY_THE_COMMAND, "see the details below")


def outcome_in_words(state: str) -> str:
    """A state of proposals, as the name of a group."""
    return _STATES[state]


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "instant": instant,
        "on_day": on_day,
        "with_instants": with_instants,
        "signed": signed,
        "plain": plain,
        "for_agents": for_agents,
        "connects": connects,
        "counted": counted,
        "money": money,
        "rfc3339": rfc3339,
    }
    environment.globals |= {
        "release": release(),
        "shown_of_a_hash": SHOWN_OF_A_HASH,
        "most_id": addresses.MOST_ID,
        "refusals_among": REFUSALS_AMONG,
        "verdict_in_words": verdict_in_words,
        "figures_of": figures_of,
        "outcome_in_words": outcome_in_words,
        "page_of": addresses.page_of,
        "page_of_change": addresses.page_of_change,
        "page_of_plan": addresses.page_of_plan,
        "page_of_topic": addresses.page_of_topic,
        "page_of_history": addresses.page_of_history,
    }
    return environment


_TEMPLATES: Final = _templates()
