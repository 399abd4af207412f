"""The page in a real browser in front of the real Triton, with a student and its teacher."""

import pytest

from serving.endpoint import serve
from serving.packaging.student import package_student
from serving.packaging.teacher import package_teacher
from tests.browser import headless_browser


@pytest.fixture(scope="module")
def url(tiny_student_dir, tiny_pipeline_dir, keys, tmp_path_factory):
    repo = tmp_path_factory.mktemp("page") / "models"
    package_student(tiny_student_dir, repo, prompts=["two owls", "a fox above a frog"], keys=keys)
    package_teacher(tiny_pipeline_dir, repo, steps=[3, 12], guidance_scale=3.0, keys=keys)
    with serve(repo, http_port=0, keys=keys) as endpoint:
        yield endpoint.url


def figures(page, model):
    """What each picture of a model shows, and how many previews it had."""
    return page.eval_on_selector_all(
        f".arm[data-model={model}] figure",
        "all => all.map(each => [each.querySelector('img').src, Number(each.dataset.previews)])",
    )


def test_type_generate_watch_change_steps_and_compare_with_the_teacher(url):
    with headless_browser() as browser:
        page = browser.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(url)
        page.locator("#examples button").first.wait_for()
        page.fill("#prompt", "two owls")
        page.fill("#seed", "7")
        page.fill("#n", "2")
        page.click("#draw")
        page.wait_for_selector("#status:has-text('in 8 steps')")
        eight = figures(page, "student")
        assert [previews for _, previews in eight] == [7, 7]
        page.locator("#steps").fill("0")
        page.check("#teacher")
        page.click("#draw")
        page.wait_for_selector("#status:has-text('in 12 steps')")
        three, teacher = figures(page, "student"), figures(page, "teacher")
        assert [previews for _, previews in three + teacher] == [2, 2, 11, 11]
        pictures = [source for source, _ in eight + three + teacher]
        assert len(set(pictures)) == 6
        assert all(source.startswith("data:image/png;base64,") for source in pictures)
        assert not complaints
