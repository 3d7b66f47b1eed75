"""The pages of the console, over HTTP."""

import csv
import html
import io
import re

import pytest

from tests.kit.asking import Asking
from tests.kit.console_ledger import ID_OF_NOBODY, MANY, NOTE
from tests.kit.visiting import Visitor


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("pavel", "/freelancers/pavel"),
        ("p-202", "/proposals/p-202"),
        ("job-506", "/jobs/job-506"),
        ("outbid-210", "/events/outbid-210"),
        ("tariq:2026-11-26:1", "/events/tariq:2026-11-26:1"),
        ("b-1", "/events/b-1"),
        ("a-1", "/events/a-1"),
        ("renewal:tariq:2026-11-26", "/events/renewal:tariq:2026-11-26"),
        ("+pavel+", "/freelancers/pavel"),
        ("when+do+they+expire", "/questions/expiry"),
        ("rolover", "/questions/rollover"),
        ("why+73", "/questions/upgrade-amount"),
    ],
)
async def test_one_result_goes_straight_to_its_page(console: Visitor, words: str, page: str) -> None:
    found = await console.get(f"/search?q={words}")
    assert (found.status, found.headers["location"]) == (303, page)
    assert (await console.get(page)).status == 200
    kind = {"freelancers": "freelancer", "proposals": "proposal", "jobs": "job"}.get(page.split("/")[1])
    (match,) = (await console.get(f"/api/v1/search?q={words}")).json["found"]
    assert match["page"] == page
    assert kind in {None, match["kind"]}


async def test_several_results_are_listed_and_none_says_what_was_looked_for(console: Visitor) -> None:
    several = await console.get("/search?q=twin")
    assert (several.status, "/freelancers/twin" in several.body, "/jobs/twin" in several.body) == (200, True, True)
    none = await console.get(f"/search?q={ID_OF_NOBODY}")
    assert (none.status, "We looked for a freelancer, a job, a proposal" in none.body) == (404, True)
    assert (await console.get("/search?q=")).headers["location"] == "/"
    unsure = await console.get("/search?q=expi+connect+card+promo+weekly")
    assert unsure.status in {200, 303, 404}


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("proposals/p-202", "explain --proposal p-202"),
        ("proposals/p-203", "explain --proposal p-203"),
        ("jobs/job-506", "explain --job job-506"),
        ("events/paid-ravi", "explain paid-ravi"),
        ("events/a-1", "explain a-1"),
        ("events/e-lost", "explain e-lost"),
        ("freelancers/xena", "history xena"),
        ("topics/expiry?freelancer=gus", "answer expiry --freelancer gus"),
        ("topics/rollover", "answer rollover"),
    ],
)
async def test_a_reply_is_that_of_the_command(console: Visitor, connects: Asking, path: str, command: str) -> None:
    reply = (await console.get(f"/api/v1/{path}")).json["reply"]
    assert reply == (await connects(f"{command} --json")).json["reply"]
    page = await console.get(f"/{path.replace('topics', 'questions')}")
    assert page.status == 200
    shown = " ".join(_text_of(page.body).split())
    for words in (
        reply["reply"] or reply["headline"],
        *(line.replace("--details shows it", "see the details below") for line in reply["agent_only"]),
        *(one["text"] for one in reply["if_they_object"]),
    ):
        assert " ".join(words.split()) in shown


@pytest.mark.parametrize(
    ("path", "points"),
    [("/proposals/p-202", True), ("/events/a-1", True), ("/jobs/job-506", False), ("/freelancers/pavel", False)],
)
async def test_a_page_points_to_its_own_details_and_to_no_option(console: Visitor, path: str, points: bool) -> None:  # noqa: FBT001
    page = await console.get(path)
    assert page.status == 200
    assert "--details" not in page.body
    assert ("see the details below" in page.body) == points
    assert "<summary>Details: " in page.body or not points


async def test_an_event_that_was_added_says_when_by_whom_and_from_where(console: Visitor) -> None:
    shown = " ".join(_text_of((await console.get("/events/e-lost")).body).split())
    assert "The event did not come when it happened: ana added it on " in shown
    assert "(lost by the importer), from hour.jsonl, line 17." in shown
    assert "added of freelancer-registered, event e-lost" in shown
    (change,) = (await console.get("/api/v1/freelancers/f-lost/changes")).json["changes"]
    assert change["cause"].keys() == {"topic", "event_id", "added"}
    assert change["explanation"].endswith("(lost by the importer), from hour.jsonl, line 17.")
    again = (await console.get("/api/v1/events/e-lost?again=true")).json["again"]
    assert [one["verdict"] for one in again] == ["same"]


async def test_decisions_are_taken_again_where_that_is_asked_for(console: Visitor, connects: Asking) -> None:
    again = (await console.get("/api/v1/proposals/p-202?again=true")).json["again"]
    assert again == (await connects("explain --proposal p-202 --again --json")).json["again"]
    assert {one["verdict"] for one in again} == {"same"}
    page = await console.get("/proposals/p-202?again=1")
    assert page.body.count('class="again same"') == len(again) > 0
    assert "?again=1" in (await console.get("/proposals/p-202")).body


async def test_the_page_of_a_job_mixes_no_other_applicant_into_a_reply(console: Visitor) -> None:
    job = (await console.get("/api/v1/jobs/job-506")).json
    assert (job["reply"]["reply"], len(job["proposals"])) == ("", 4)
    assert sum(one["spent"] for one in job["proposals"]) == job["reply"]["numbers"]["spent"]
    for line in job["proposals"]:
        reply = (await console.get(f"/api/v1/proposals/{line['proposal_id']}")).json["reply"]
        others = {one["freelancer_id"] for one in job["proposals"]} - {line["freelancer_id"]}
        words = re.findall(r"[\w-]+", " ".join([reply["reply"], *(one["text"] for one in reply["if_they_object"])]))
        assert not others & set(words)
    assert "hired" in [step["what"] for step in job["timeline"]]


async def test_the_line_of_time_of_a_proposal(console: Visitor) -> None:
    async def steps(proposal: str) -> list[tuple[str, str]]:
        timeline = (await console.get(f"/api/v1/proposals/{proposal}")).json["timeline"]
        assert [step["at"] for step in timeline] == sorted(step["at"] for step in timeline)
        return [(step["what"], step["words"]) for step in timeline]

    assert await steps("p-202") == [
        ("submitted", "Submitted for 9 Connects"),
        ("closed", "The job expired"),
        ("settled", "Settled: nothing came back"),
    ]
    assert [what for what, _ in await steps("p-211")] == ["submitted", "boosted", "outbid", "closed", "settled"]
    assert "withdrawn" in dict(await steps("p-205"))


async def test_a_history_comes_in_pages_narrowed_by_kind_and_its_sums_are_the_balance(console: Visitor) -> None:
    first = await console.get("/freelancers/many")
    assert first.body.count('aria-label="Reply about version') == 50
    earlier = re.findall(r'rel="next" href="([^"#]*)', first.body)[0].replace("&amp;", "&")
    second = await console.get(earlier)
    assert "Newest" in second.body
    seen = [re.findall(r"Reply about version (\d+)", page.body) for page in (first, second)]
    assert [*map(int, seen[0] + seen[1])] == [*range(MANY + 1, MANY + 1 - 100, -1)]
    narrowed = await console.get("/freelancers/many?kind=grant.registration")
    assert re.findall(r"Reply about version (\d+)", narrowed.body) == ["1"]
    view = (await console.get("/api/v1/freelancers/many")).json
    assert sum(one["connects"] for one in view["kinds"]) == view["balance"]
    assert sum(one["changes"] for one in view["kinds"]) == view["version"] == MANY + 1
    for wrong in ("kind=x'y", "before=-1", "before=abc", "before=" + "9" * 30):
        assert (await console.get(f"/freelancers/many?{wrong}")).status == 400


async def test_a_history_as_a_file_has_every_change(console: Visitor) -> None:
    file = await console.get("/freelancers/many/history.csv")
    assert file.headers["content-type"].startswith("text/csv")
    rows = [*csv.DictReader(io.StringIO(file.body))]
    assert len(rows) == MANY + 1
    view = (await console.get("/api/v1/freelancers/many")).json
    assert sum(int(row["connects"]) for row in rows) == view["balance"] == int(rows[0]["balance_after"])


async def test_pages_escape_everything_and_hold_no_script_or_style_of_their_own(console: Visitor) -> None:
    adjusted = await console.get(f"/events/adj-many-{MANY - 1}")
    assert NOTE.replace("<", "&lt;").replace(">", "&gt;") in adjusted.body
    pages = ("/", "/questions", "/questions/expiry", "/freelancers/many", "/proposals/p-202", "/jobs/job-506")
    for path in (*pages, f"/events/adj-many-{MANY - 1}", f"/search?q={NOTE}", f"/proposals/{ID_OF_NOBODY}"):
        found = await console.get(path)
        assert "<script>" not in found.body
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", found.body)
        assert all(host == "www.w3.org" for host in re.findall(r"https?://([^/\"]+)", found.body))
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert found.headers["cache-control"] == "no-store"
        assert "set-cookie" not in found.headers
    for name in ("console.css", "console.js", "icon.svg"):
        assert (await console.get(f"/static/{name}")).status == 200
    assert (await console.get("/static/..%2fapi.py")).status == 404


async def test_unknown_ids_say_what_to_ask_next(console: Visitor) -> None:
    for path in ("freelancers", "proposals", "jobs", "events"):
        page = await console.get(f"/{path}/{ID_OF_NOBODY}")
        assert (page.status, "Nothing on record" in page.body) == (404, True)
    elsewhere = await console.get("/proposals/job-506")
    assert (elsewhere.status, 'href="/jobs/job-506"' in elsewhere.body) == (404, True)
    assert (await console.get(f"/questions/expiry?freelancer={ID_OF_NOBODY}")).status == 404
    assert (await console.get("/questions/nonsense")).status == 404
    for page in ("/questions?freelancer=", "/questions/expiry?freelancer="):
        assert (await console.get(page)).status == 200, "an empty field of a form is no freelancer"
    assert (await console.get(f"/freelancers/{ID_OF_NOBODY}/history.csv")).status == 404


def _text_of(page: str) -> str:
    """The text that a reader sees of a page."""
    return html.unescape(re.sub(r"<[^>]*>", " ", page))


async def test_what_brought_nothing_is_listed_with_its_reply(console: Visitor) -> None:
    """No change of the wallet shows it, and nobody who asks knows the event's id."""
    page = (await console.get("/freelancers/zoe")).body
    assert 'id="refused"' in page
    assert '<a href="/events/iv-zoe-1"' in page
    (refused,) = (await console.get("/api/v1/freelancers/zoe")).json["refused"]
    assert (refused["event_id"], refused["reason"]) == ("iv-zoe-1", "client-not-established")
    assert "had not hired anybody" in (await console.get("/events/iv-zoe-1")).body
    assert 'id="refused"' not in (await console.get("/freelancers/gus")).body


async def test_what_became_of_a_persons_last_proposals_is_listed(console: Visitor) -> None:
    """The most asked question is about a proposal that nobody names: each has its reply one step away."""
    page = (await console.get("/freelancers/pavel")).body
    assert 'id="proposals"' in page
    assert all(f'<a href="/proposals/p-{number}"' in page for number in (241, 242, 243, 244))
    told = (await console.get("/api/v1/freelancers/pavel")).json
    became = [(one["proposal_id"], one["state"], one["back"], one["reason"]) for one in told["proposals"]]
    assert became == [
        ("p-244", "open", 0, ""),
        ("p-243", "kept", 0, "somebody-was-hired"),
        ("p-242", "kept", 0, "job-expired"),
        ("p-241", "back", 5, ""),
    ]
    assert told["more_proposals"] is False
    assert 'id="proposals"' not in (await console.get("/freelancers/gus")).body
