"""The page in a real browser in front of the real Triton."""

from contextlib import contextmanager

import pytest

from serving.endpoint import serve
from serving.packaging.student import package_student
from serving.packaging.teacher import package_teacher
from tests.browser import headless_browser


@contextmanager
def visiting(url):
    """The page, as a visitor sees it; whatever it complains about fails the test."""
    with headless_browser() as browser:
        page, complaints = browser.new_page(), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(url)
        page.locator("#examples button").first.wait_for()
        yield page
        assert not complaints


def draw(page, steps):
    """Press the button, and wait until it says what was drawn last."""
    page.click("#draw")
    page.wait_for_selector(f"#status:has-text('in {steps} steps.')", timeout=120_000)


def pictures(page, model):
    """Source and number of previews of each picture of a model."""
    return page.eval_on_selector_all(
        f".arm[data-model={model}] figure",
        "all => all.map(each => [each.querySelector('img').src, Number(each.dataset.previews)])",
    )


def test_type_generate_watch_and_change_steps(endpoint):
    with visiting(endpoint.url) as page:
        page.fill("#prompt", "two owls")
        page.fill("#seed", "7")
        page.fill("#n", "2")
        draw(page, 8)
        eight = pictures(page, "student")
        page.locator("#steps").fill("0")
        draw(page, 3)
        three = pictures(page, "student")
    assert [previews for _, previews in eight + three] == [7, 7, 2, 2]
    assert len({source for source, _ in eight + three}) == 4
    assert all(source.startswith("data:image/png;base64,") for source, _ in eight + three)


@pytest.mark.slow
def test_a_packaged_teacher_is_drawn_beside_its_student(tiny_student_dir, tiny_pipeline_dir, keys, tmp_path):
    package_student(tiny_student_dir, tmp_path / "models", prompts=["two owls"], keys=keys)
    package_teacher(tiny_pipeline_dir, tmp_path / "models", steps=[3, 12], guidance_scale=3.0, keys=keys)
    with serve(tmp_path / "models", http_port=0, keys=keys) as endpoint, visiting(endpoint.url) as page:
        page.fill("#prompt", "two owls")
        page.fill("#seed", "7")
        page.fill("#n", "2")
        page.check("#teacher")
        draw(page, 12)
        student, teacher = pictures(page, "student"), pictures(page, "teacher")
    assert [previews for _, previews in student + teacher] == [7, 7, 11, 11]
    assert len({source for source, _ in student + teacher}) == 4
