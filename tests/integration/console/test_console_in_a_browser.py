"""The console in a real browser: what a support agent clicks, types, copies and prints, on every page and screen."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, expect

from tests.kit.asking import Asking
from tests.kit.browsing import NARROW, WIDE, a_browser, before, chromium, faults_of, width_of
from tests.kit.console_ledger import (
    BEGUN,
    CORRECTED,
    DIFFERS,
    EARLIER,
    ID_OF_NOBODY,
    LATER,
    MANY,
    NOTE,
    TOKEN,
    Places,
)
from tests.kit.proxy import place_of, proxy_at
from tests.kit.visiting import console_process, visited
from tests.kit.waiting import PATIENCE_SECONDS
from worker.console.access import Access
from worker.embedded.stack import LocalStack

CHROMIUM = chromium()
if CHROMIUM is None:
    pytest.skip(
        "Chromium is not installed (Debian: apt-get install chromium), and TEST_CHROMIUM names none",
        allow_module_level=True,
    )
pytestmark = [pytest.mark.in_turn, pytest.mark.asyncio(loop_scope="module")]
A_MINUTE = timedelta(minutes=1)
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with a_browser(CHROMIUM) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(
    places: Places, shared_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """A console as a process of its own."""
    settings = {"DATABASE_URL": places.console, "KAFKA_BOOTSTRAP_SERVERS": shared_stack.addresses.kafka_bootstrap}
    asking = Asking(tmp_path_factory.mktemp("console"), **settings, CONNECTS_TOPIC_PREFIX="nobody-")
    async with console_process(asking) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, address: str) -> AsyncIterator[Page]:
    async with before(browser, address, **WIDE) as page:
        yield page


PAGES = [
    "/",
    "/questions",
    "/questions/expiry?freelancer=gus",
    "/freelancers/many",
    "/freelancers/tariq",
    "/freelancers/xena",
    "/proposals/p-202",
    "/proposals/p-211?again=1",
    "/jobs/job-506",
    "/events/a-1",
    "/operators",
    "/search?q=twin",
    "/plans",
    "/policies",
]
NOT_FOUND = [
    f"/search?q={ID_OF_NOBODY}",
    "/search?q=charge+date",
    f"/proposals/{'x' * 160}",
    "/nowhere",
]


@pytest.mark.parametrize("path", [*PAGES, *NOT_FOUND])
async def test_axe_finds_nothing_serious_and_no_page_is_wider_than_its_window(
    browser: Browser, address: str, path: str
) -> None:
    await _looks_well(browser, address, path, 404 if path in NOT_FOUND else 200)


async def test_so_it_is_with_plans_and_policy_versions(browser: Browser, troubled: Places) -> None:
    async with visited(troubled.console) as console:
        for path in ("/plans", f"/plans/{CORRECTED}", f"/plans/{DIFFERS}", f"/plans/{BEGUN}", "/policies"):
            await _looks_well(browser, console.address, path)


async def _looks_well(browser: Browser, address: str, path: str, status: int = 200) -> None:
    """Look at a page in a wide and light window, and then in a narrow and dark one, with all that is folded opened."""
    async with before(browser, address) as page:
        shown = await page.goto(path)
        assert (shown and shown.status) == status
        await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        for look in (WIDE, NARROW):
            await page.set_viewport_size(look["viewport"])
            await page.emulate_media(color_scheme=look["color_scheme"])
            assert await faults_of(page) == []
            assert await width_of(page) <= look["viewport"]["width"]


async def test_versions_are_chosen_and_compared(browser: Browser, troubled: Places) -> None:
    async with visited(troubled.console) as console, before(browser, console.address, **WIDE) as page:
        await page.goto("/operators")
        await page.get_by_role("link", name="Policy versions").click()
        differ = page.get_by_role("group", name="What differs").locator("tbody tr").first
        await expect(differ).to_have_text("grants.registration4050")
        await page.get_by_label("From").select_option(LATER)
        await page.get_by_label("to", exact=True).select_option(EARLIER)
        await page.get_by_role("button", name="Compare").click()
        await expect(differ).to_have_text("grants.registration5040")


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        ("pavel", "Freelancer pavel"),
        ("p-202", "Proposal p-202"),
        ("job-506", "Job job-506"),
        ("outbid-210", "Event outbid-210"),
        ("tariq:2026-11-26:1", "Event tariq:2026-11-26:1"),
        ("b-1", "Event b-1"),
        ("a-1", "Event a-1"),
        ("when do they expire", "expiry"),
        ("rolover", "rollover"),
        ("twin", "twin is more than one thing"),
        ("charge date", "Which topic is meant?"),
        (ID_OF_NOBODY, "Nothing found"),
        (NOTE, "Nothing found"),
    ],
)
async def test_somebody_types_an_id_or_words_and_is_there(page: Page, words: str, heading: str) -> None:
    await page.goto("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type(words)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(heading)


async def test_a_reply_is_copied_as_it_is_shown(page: Page, address: str) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    await page.goto("/proposals/p-202")
    reply = await page.locator("#reply-1").inner_text()
    assert reply.startswith("No: the 9 Connects for job-202 did not come back")
    await page.get_by_role("button", name="Copy the reply").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    await expect(page.get_by_role("status")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == reply
    await expect(page.get_by_role("button", name="Copy the reply")).to_be_visible()
    await page.get_by_role("button", name="Copy the answer about silence").click()
    await expect(page.get_by_role("status")).to_have_text("Copied")
    objection = await page.get_by_role("listitem").filter(has=page.get_by_role("link", name="silence")).inner_text()
    assert await page.evaluate("navigator.clipboard.readText()") in objection


async def test_a_reply_is_copied_where_the_address_is_not_a_secure_one(page: Page) -> None:
    """Browsers have no clipboard for scripts of http://console.example: an older way copies there."""
    await page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    await page.goto("/proposals/p-202")
    reply = await page.locator("#reply-1").inner_text()
    await page.get_by_role("button", name="Copy the reply").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    await page.get_by_role("searchbox").focus()
    await page.keyboard.press("ControlOrMeta+v")
    await expect(page.get_by_role("searchbox")).to_have_value(" ".join(reply.split())[:200])


async def test_a_history_is_narrowed_and_turned_over(page: Page) -> None:
    await page.goto("/freelancers/many")
    rows = page.get_by_role("group", name="Changes").locator("tbody tr")
    await expect(rows).to_have_count(50)
    await page.get_by_role("link", name="Earlier").click()
    await expect(page.get_by_role("link", name=f"Reply about version {MANY + 1 - 50}", exact=True)).to_be_visible()
    await page.get_by_role("link", name="Newest").click()
    await expect(page.get_by_role("link", name=f"Reply about version {MANY + 1}", exact=True)).to_be_visible()
    await page.get_by_label("Kind", exact=True).select_option("grant.registration")
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"kind=grant\.registration.*#history$"))
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    assert (await download.value).suggested_filename == "many.csv"
    await page.get_by_text("Sums by kind").click()
    sums = page.get_by_role("group", name="Sums by kind").locator("tbody td.number:nth-child(2)")
    shown = [int(text.replace("\N{MINUS SIGN}", "-")) for text in await sums.all_inner_texts()]
    await expect(page.locator("tfoot td").first).to_have_text(str(sum(shown)))


async def test_a_page_prints_black_on_white_without_what_is_clicked(browser: Browser, address: str) -> None:
    async with before(browser, address, **NARROW) as page:
        await page.goto("/proposals/p-202")
        await page.emulate_media(media="print", color_scheme="dark")
        for hidden in ("header.bar", ".actions"):
            await expect(page.locator(hidden)).to_be_hidden()
        await expect(page.locator("#reply-1")).to_be_visible()
        colours = "getComputedStyle(document.documentElement)"
        assert await page.evaluate(f"[{colours}.color, {colours}.backgroundColor]") == [
            "rgb(0, 0, 0)",
            "rgb(255, 255, 255)",
        ]
        assert (await page.pdf()).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("where", "zone", "sent", "names"),
    [
        (
            {"timezone_id": "America/Los_Angeles", "locale": "en-US"},
            "Pacific Time",
            "2026-09-09 02:00 PDT",
            {"PDT": -7, "PST": -8},
        ),
        (
            {"timezone_id": "Asia/Kolkata", "locale": "en-US"},
            "India Standard Time",
            "2026-09-09 14:30 GMT+5:30",
            {"GMT+5:30": 5.5},
        ),
        (
            {"timezone_id": "Europe/Berlin", "locale": "en-GB"},
            "Central European Time",
            "2026-09-09 11:00 CEST",
            {"CEST": 2, "CET": 1},
        ),
        (
            {"timezone_id": "Asia/Tehran", "locale": "fa-IR"},
            "Iran Standard Time",
            "2026-09-09 12:30 GMT+3:30",
            {"GMT+3:30": 3.5},
        ),
    ],
)
async def test_instants_are_in_the_readers_zone_and_whole_days_are_not(
    browser: Browser, address: str, where: dict[str, str], zone: str, sent: str, names: dict[str, float]
) -> None:
    async with (
        before(browser, address, **WIDE, java_script_enabled=False) as written,
        before(browser, address, **WIDE, **where) as page,
    ):
        await page.goto("/proposals/p-202")
        first = page.locator(".timeline time").first
        await expect(first).to_have_text(sent)
        await expect(first).to_have_attribute("title", "2026-09-09 09:00 UTC")
        for path in ("/freelancers/tariq", "/jobs/job-506", "/policies", "/operators"):
            instants, days = await _times_of(written, path)
            shown, shown_days = await _times_of(page, path)
            assert shown_days == days
            for (utc, _), (own, title) in zip(instants, shown, strict=True):
                time, _, name = own.rpartition(" ")
                assert datetime.fromisoformat(time) - timedelta(hours=names[name]) == _minute(title)
                assert _minute(title) - _minute(utc) <= A_MINUTE, "a page that tells the time was looked at twice"
            assert days or path != "/freelancers/tariq"
            await expect(page.locator("footer")).to_contain_text(f"Times are in your zone, {zone}, and")
            await expect(written.locator("footer")).to_contain_text("All times are in UTC.")
            await expect(page.get_by_text("All times are in UTC.")).to_be_hidden()


async def _times_of(page: Page, path: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The instants and the days of a page, each as it is read and as it is read on hover."""
    await page.goto(path)
    found: list[list[tuple[str, str]]] = [[], []]
    for time in await page.locator("time").all():
        read, hover = await time.text_content(), await time.get_attribute("title")
        found["T" not in (await time.get_attribute("datetime") or "")].append((read or "", hover or ""))
    return found[0], found[1]


def _minute(utc: str) -> datetime:
    """A time of the form 2026-09-09 09:00 UTC."""
    time, _, zone = utc.rpartition(" ")
    assert zone == "UTC"
    return datetime.fromisoformat(time)


async def test_what_is_pasted_or_saved_has_the_ledgers_days_in_every_zone(browser: Browser, address: str) -> None:
    seen: list[tuple[str, str, list[str]]] = []
    for zone in ("UTC", "America/Los_Angeles", "Asia/Kolkata"):
        async with before(browser, address, **WIDE, timezone_id=zone) as page:
            await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
            await page.goto("/freelancers/tariq")
            await page.get_by_role("button", name="Copy the reply").click()
            await expect(page.get_by_role("status")).to_have_text("Copied")
            async with page.expect_download() as download:
                await page.get_by_role("link", name="CSV").click()
            saved = (await (await download.value).path()).read_text(encoding="utf-8")
            axis = await page.locator(".chart .label").filter(has_text="UTC").all_text_contents()
            seen.append((await page.evaluate("navigator.clipboard.readText()"), saved, axis))
    assert seen == seen[:1] * 3
    pasted, saved, axis = seen[0]
    assert pasted.startswith("You have ")
    assert "Z," in saved
    assert [re.sub(r"\d", "0", one) for one in axis] == ["0000-00-00 UTC"] * 2


async def test_who_is_in_utc_reads_what_the_server_wrote(browser: Browser, address: str) -> None:
    async with before(browser, address, **WIDE, timezone_id="UTC") as page:
        await page.goto("/proposals/p-202")
        first = page.locator(".timeline time").first
        await expect(first).to_have_text("2026-09-09 09:00 UTC")
        assert await first.get_attribute("title") is None
        await expect(page.locator("footer")).to_contain_text("All times are in UTC.")
        await expect(page.locator("#times-in-own-zone")).to_be_hidden()


@pytest.mark.parametrize("how", ["on paper", "where nothing hovers"])
async def test_without_hover_the_time_in_utc_is_below_the_readers_own(browser: Browser, address: str, how: str) -> None:
    touch = {"has_touch": True, "is_mobile": True} if how == "where nothing hovers" else {}
    async with before(browser, address, **NARROW, timezone_id="Asia/Kolkata", **touch) as page:
        await page.goto("/freelancers/tariq")
        if not touch:
            await page.emulate_media(media="print")
        below = "one => getComputedStyle(one, '::after').content"
        for time in await page.locator("time").all():
            is_day = "T" not in (await time.get_attribute("datetime") or "")
            utc = await time.get_attribute("title")
            assert await time.evaluate(below) == ("none" if is_day else f'" ({utc})"')
        await expect(page.locator("footer")).to_contain_text("your zone, India Standard Time, ")
        await expect(page.get_by_text("with UTC below them")).to_be_visible()
        await expect(page.get_by_text("and in UTC on hover")).to_be_hidden()
        assert await width_of(page) <= NARROW["viewport"]["width"]


async def test_the_keyboard_leads_past_the_head_of_a_page(page: Page) -> None:
    await page.goto("/proposals/p-202")
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#main$"))
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.querySelector('main').contains(document.activeElement)")


async def test_without_scripts_everything_but_copying_works(browser: Browser, address: str) -> None:
    async with before(browser, address, **WIDE, java_script_enabled=False) as page:
        await page.goto("/")
        await page.get_by_role("searchbox").fill("p-202")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Proposal p-202")
        await expect(page.locator("button.copy").first).to_be_hidden()
        await page.get_by_text("Details: ").click()
        await expect(page.locator(".decisions").first).to_be_visible()


async def test_who_has_not_the_token_is_told_so_and_sees_nothing(browser: Browser, places: Places) -> None:
    async with visited(places.console, Access(token=TOKEN)) as console:
        async with before(browser, console.address, **WIDE) as page:
            with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):  # where no screen can ask for them
                await page.goto("/freelancers/gus")
        for password, heading in (("wrong", "The token is missing or wrong"), (TOKEN, "Freelancer gus")):
            typed = {"username": "agent-lund", "password": password}
            async with before(browser, console.address, **WIDE, http_credentials=typed) as page:
                await page.goto("/freelancers/gus")
                await expect(page.get_by_role("heading", level=1)).to_have_text(heading)
                assert ("You have" in await page.locator("main").inner_text()) == ("gus" in heading)
                assert await faults_of(page) == []


async def test_while_the_database_is_away_a_page_says_so_and_comes_back_by_itself(
    browser: Browser, places: Places
) -> None:
    parts = urlsplit(places.console)
    place = place_of(places.console)
    async with proxy_at(0, *place) as (_, listening):
        url = parts._replace(netloc=parts.netloc.replace(str(place[1]), str(listening))).geturl()
    async with visited(url) as console, before(browser, console.address, **NARROW) as page:
        await page.goto("/proposals/p-202")
        await expect(page.get_by_role("heading", level=1)).to_have_text("The ledger cannot be read now")
        await expect(page.get_by_role("alert")).to_contain_text("PostgreSQL at DATABASE_URL cannot be reached")
        await expect(page.locator("main")).to_contain_text("This page tries again every 5 seconds.")
        async with proxy_at(listening, *place):
            await expect(page.get_by_role("heading", level=1)).to_have_text("Proposal p-202")
