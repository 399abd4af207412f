"""The pictures of docs/first_run.md: what Kubeflow's form is given to show, and the artifacts of a real run.

    python docs/pictures.py runs        # a workspace in which `rats run` has ended

They are our rendering of what we hand over, in a plain page of our own; how Kubeflow's page looks is Kubeflow's.
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from jinja2 import Environment
from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pipelines.compiled import load_pipeline

IMAGES = Path(__file__).parent / "images"
PIPELINE = "train_and_deploy"
# Picture -> step, its artifact, and the height that is shown of it.
ARTIFACTS = {
    "artifact_training": ("train_student", "curves.html", 620),
    "artifact_evaluation": ("evaluate_rewards", "gallery.html", 620),
    "artifact_numbers": ("evaluate_rewards", "summary.md", 900),
}
STYLE = """<style>
body { font: 15px/1.45 sans-serif; margin: 24px; max-width: 820px; color: #222 }
h1 { font-size: 20px } .kind { color: #777 } .about { color: #555; margin: 2px 0 14px }
.value { border: 1px solid #bbb; border-radius: 4px; padding: 6px 10px; min-height: 20px; font-family: monospace }
table { border-collapse: collapse } td, th { padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: left }
</style>"""
FORM = Environment(autoescape=True).from_string("""<h1>{{ title }}</h1><p class="about">{{ about }}</p>
{% for name, each in parameters.items() %}
<div>{{ name }} <span class="kind">{{ each.parameterType | lower }}</span></div>
<div class="value">{{ each.defaultValue if each.defaultValue is defined else "" }}</div>
<div class="about">{{ each.description }}</div>{% endfor %}""")


def main(workspace: Path) -> None:
    """Draw all pictures into docs/images."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 600})
        page.set_content(STYLE + form())
        draw(page, "form")
        for name, (step, file, height) in ARTIFACTS.items():
            show(page, newest(workspace, step, file))
            draw(page, name, height)
        browser.close()


def form() -> str:
    """The form's fields as HTML: names, types, defaults and descriptions of the compiled pipeline."""
    pipeline = load_pipeline(PIPELINE)
    spec: dict[str, Any] = json_format.MessageToDict(pipeline.pipeline_spec)
    parameters = dict(sorted(spec["root"]["inputDefinitions"]["parameters"].items()))
    for each in parameters.values():
        if each["parameterType"] == "NUMBER_INTEGER":
            each["defaultValue"] = int(each["defaultValue"])  # all numbers are floats in KFP's description
    about = pipeline.description.partition("\n")[0]
    return FORM.render(title=spec["pipelineInfo"]["displayName"], about=about, parameters=parameters)


def newest(workspace: Path, step: str, file: str) -> Path:
    """The artifact of the latest work of a step in a workspace."""
    return max((workspace / "cache" / step).glob(f"*/{file}"), key=lambda each: each.stat().st_mtime)


def show(page: Page, artifact: Path) -> None:
    """Open an artifact; Markdown as the HTML that it means."""
    if artifact.suffix == ".html":
        page.goto(artifact.resolve().as_uri())
    else:
        page.set_content(STYLE + MarkdownIt().enable("table").render(artifact.read_text()))


def draw(page: Page, name: str, height: int = 2000) -> None:
    """Save the page's top as a small PNG."""
    with Image.open(BytesIO(page.screenshot(full_page=True))) as shot:
        top = shot.convert("RGB").crop((0, 0, shot.width, min(shot.height, height)))
        top.quantize(128).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
