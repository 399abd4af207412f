"""The page in a real browser: typed, drawn, watched, shared, with a mouse, a keyboard and a thumb."""

import re

import httpx
import pytest

from serving.gateway.auth import ApiKeys, api_key_file
from serving.gateway.settings import GatewaySettings
from tests.browser import headless_browser
from tests.unit.serving.gateway.conftest import running
from tests.unit.serving.gateway.fake_server import FakeServer, package

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser():
    with headless_browser() as found:
        yield found


@pytest.fixture
def visit(browser, gateway):
    """A function that opens the page as a new visitor; whatever it complains about fails the test."""
    contexts, complaints = [], []

    def open_page(path="/", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(gateway.url + path)
        return page

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def sources(page):
    return page.eval_on_selector_all(".frame img", "images => images.map(image => image.src)")


def done(page, count):
    page.locator("figure.done").nth(count - 1).wait_for()


def test_typed_drawn_with_previews_and_steps_changed(visit, server):
    server.pause_at_step = 8
    page = visit()
    page.locator("#examples button").first.wait_for()
    page.fill("#prompt", "two owls")
    page.fill("#n", "2")
    page.fill("#seed", "7")
    page.click("#draw")
    page.locator("figure[data-step='7']:not(.done)").nth(1).wait_for()
    preview = sources(page)
    assert all(preview)
    server.pause_at_step = 0
    done(page, 2)
    assert [job.steps for job in server.jobs] == [8, 8]
    assert page.eval_on_selector_all("figure", "all => all.map(each => Number(each.dataset.previews))") == [7, 7]
    assert sources(page) != preview
    assert re.search(r"2 pictures: student \d.* in 8 steps", page.inner_text("#status"))
    page.locator("#steps").fill("0")
    assert page.inner_text("#steps-shown") == "3"
    page.click("#draw")
    page.wait_for_selector("#status:has-text('in 3 steps')")
    assert [job.steps for job in server.jobs[2:]] == [3, 3]
    assert [job.seed for job in server.jobs] == [7, 8, 7, 8]


def test_it_needs_nothing_from_elsewhere(visit, gateway):
    page = visit()
    page.locator("#examples button").first.click()
    done(page, 4)
    asked = {url.split(":")[0] for url in page.asked if not url.startswith(gateway.url)}
    assert asked <= {"data"}
    assert "default-src 'none'" in httpx.get(gateway.url).headers["content-security-policy"]


def test_a_keyboard_is_enough(visit, server):
    page = visit()
    page.locator("#examples button").first.wait_for()
    page.keyboard.type("two owls")  # the prompt has the focus
    page.keyboard.press("Enter")
    done(page, 4)
    order = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert [name for name in order if name in ("draw", "steps", "n", "seed", "share")] == [
        "draw",
        "steps",
        "n",
        "seed",
        "share",
    ]
    page.focus("#steps")
    page.keyboard.press("ArrowLeft")
    page.focus("#prompt")
    page.keyboard.press("Enter")
    page.wait_for_selector("#status:has-text('in 5 steps')")


def test_a_link_draws_the_same_pictures(visit, server):
    page = visit()
    page.locator("#examples button").first.wait_for()
    page.fill("#prompt", "a fox & an owl")
    page.fill("#n", "2")
    page.locator("#steps").fill("1")
    page.click("#draw")
    done(page, 2)
    page.click("#share")
    link = page.evaluate("location.hash")
    other = visit("/" + link)
    done(other, 2)
    assert sources(other) == sources(page)
    assert server.jobs[2:] == server.jobs[:2]
    assert other.input_value("#prompt") == "a fox & an owl"


def test_stop_gives_the_pictures_up(visit, server):
    server.pause_at_step = 2
    page = visit()
    page.locator("#examples button").first.click()
    page.locator("figure[data-step='1']").first.wait_for()
    page.click("#draw")
    page.wait_for_selector("text=Stopped.")
    page.wait_for_timeout(500)
    assert (server.in_flight, len(server.given_up)) == (0, 4)
    assert page.inner_text("#draw") == "Draw"


def test_a_failure_is_told_in_its_own_words(browser, tmp_path):
    from serving.triton.client import BrokenError

    server = FakeServer([package(tmp_path)])
    server.failure = BrokenError("the stub died")
    with running(server) as gateway, browser.new_context() as context:
        page = context.new_page()
        page.goto(gateway.url)
        page.locator("#examples button").first.click()
        page.wait_for_selector("#status.error:has-text('cannot draw right now (the stub died)')")


def test_on_a_phone_everything_is_in_reach(visit):
    page = visit(**PHONE)
    page.locator("#examples button").first.tap()
    done(page, 4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    low = page.eval_on_selector_all(
        "button, input:not([type=range], [type=checkbox])",
        "all => all.filter(each => each.offsetParent && each.getBoundingClientRect().height < 30).map(each => each.id)",
    )
    assert not low, "too small for a thumb"


def test_the_teacher_is_offered_only_where_there_is_one(visit, browser, tmp_path):
    page = visit()
    page.locator("#examples button").first.wait_for()
    assert page.locator("#teacher-row").is_hidden()
    server = FakeServer([package(tmp_path), package(tmp_path, "teacher", steps=[50])])
    with running(server) as gateway, browser.new_context() as context:
        page = context.new_page()
        page.goto(gateway.url)
        page.check("#teacher")
        page.fill("#prompt", "two owls")
        page.click("#draw")
        page.wait_for_selector("text=/student .*, teacher .*/")
        assert page.eval_on_selector_all(".arm", "all => all.map(each => each.dataset.model)") == ["student", "teacher"]
        assert [job.steps for job in server.jobs] == [8] * 4 + [50] * 4
        assert [job.seed for job in server.jobs[:4]] == [job.seed for job in server.jobs[4:]]


def test_where_a_key_is_asked_for_the_page_asks_for_it(browser, tmp_path):
    keys = ApiKeys(api_key_file(tmp_path))
    token = keys.add("ann", 60, 10)
    with running(FakeServer([package(tmp_path)]), GatewaySettings(keys)) as gateway, browser.new_context() as context:
        page = context.new_page()
        page.goto(gateway.url)
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=This key is not known here.")
        page.fill("#key", token)
        page.keyboard.press("Tab")
        page.locator("#examples button").first.click()
        done(page, 4)
        assert page.locator("#key-row").is_hidden()
