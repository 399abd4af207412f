"""`rats`: the command line, the top of the house and the only part that sees all of it.

Whatever is slow to import is imported inside the command that needs it, so that `rats --help` answers at once.
"""

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.commands import keys, promotion
from pipelines.commands.cluster import cluster
from pipelines.commands.reward import reward
from pipelines.commands.schedule import schedule
from pipelines.commands.trigger import trigger
from pipelines.errors import StepFailedError
from rats_train.errors import RetryableError, UserError

app = typer.Typer(
    name="rats",
    help="Turn a slow text-to-image teacher into a student of a few steps that people prefer, and serve it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
world = typer.Typer(help="The embedded world of emoji scenes.", no_args_is_help=True)
app.add_typer(world, name="world")
app.add_typer(reward, name="reward")
app.add_typer(cluster, name="cluster")
app.add_typer(schedule, name="schedule")
app.add_typer(trigger, name="trigger")
app.add_typer(keys.app, name="keys")

console = Console()
errors = Console(stderr=True)

RecipeArgument = Annotated[str, typer.Argument(help="Name of a packaged recipe, or path of a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one value, such as training.steps=20."),
]
Workspace = Annotated[Path, typer.Option(help="Folder of runs and cached work.")]
RUNS = Path("runs")


@app.command(epilog="Example: [bold]rats plan emoji --set training.steps=20[/bold]")
def plan(recipe: RecipeArgument = "emoji", overrides: Overrides = None, workspace: Workspace = RUNS) -> None:
    """Show what a run would do: resolved recipe, steps, what is reused, time and memory."""
    from components.prepare.resolve import resolve
    from pipelines.forecast import plan as planning
    from rats_train.config import load_recipe

    root = workspace.resolve()
    console.print(planning.plan(resolve(load_recipe(recipe, overrides or []), root), root))


@app.command(epilog="Example: [bold]rats run emoji --set training.steps=20[/bold]")
def run(
    recipe: RecipeArgument = "emoji",
    overrides: Overrides = None,
    workspace: Workspace = RUNS,
    open_report: Annotated[
        bool, typer.Option("--open", help="Open the report in the browser, where there is one.")
    ] = False,
) -> None:
    """Run the whole pipeline on this machine; what has not changed since an earlier run is reused."""
    from pipelines.local import run_pipeline
    from pipelines.runs import read_run
    from pipelines.view import results_view

    values = read_run(run_pipeline(recipe, overrides or [], workspace, console))
    console.print(results_view(values))
    # Without a display a browser would be one in this very terminal.
    if open_report and ("DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ):
        webbrowser.open(Path(values["report"]).as_uri())


@app.command(epilog="Example: [bold]rats status[/bold], or [bold]rats status emoji-20260102-030405[/bold]")
def status(
    run_id: Annotated[str, typer.Argument(help="Name of a run.")] = "latest", workspace: Workspace = RUNS
) -> None:
    """Show how far a run is, or how it ended."""
    from pipelines.runs import find_run, read_run
    from pipelines.view import run_view

    console.print(run_view(read_run(find_run(workspace, run_id))))


@app.command(epilog="Example: [bold]rats evaluate runs/latest/student --out evaluation[/bold]")
def evaluate(
    student: Annotated[Path, typer.Argument(help="Folder of a student.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder for the scorecard and the pictures.")],
    recipe: Annotated[str, typer.Option(help="Recipe that names teacher, rewards and prompts.")] = "emoji",
    overrides: Overrides = None,
) -> None:
    """Judge a student against its teacher on held-out prompts."""
    from components.prepare.resolve import resolve
    from pipelines.view import scorecard_table
    from rats_train.config import load_recipe
    from rats_train.evaluation.sample import evaluate as judge
    from rats_train.files import read_json
    from rats_train.progress import ProgressReport

    loaded = resolve(load_recipe(recipe, overrides or []))
    with ProgressReport("evaluation", console) as progress:
        card = judge(loaded, student, out, progress)
    console.print(scorecard_table(read_json(card)))
    console.print(f"\nThe whole scorecard is {card}.")


@app.command(epilog="Example: [bold]rats package runs/latest/student --out models --teacher emoji[/bold]")
def package(
    student: Annotated[Path, typer.Argument(help="Folder of a student.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Triton model repository; made if missing.")],
    scorecard: Annotated[Path | None, typer.Option(help="Scorecard to travel along.", exists=True)] = None,
    adapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="LoRA adapter that requests may ask for by name.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Package this recipe's teacher too, to compare on the page."),
    ] = None,
) -> None:
    """Make a student the next signed version in a Triton model repository."""
    from serving.package.promotion import served
    from serving.packaging.student import package_student

    for each in adapter or []:
        if "=" not in each:
            raise UserError(f"--adapter is {each!r}: write NAME=FOLDER, such as ink=adapters/ink")
    adapters = {name: Path(folder) for name, _, folder in (each.partition("=") for each in adapter or [])}
    prompts, pattern = _packaged_teacher(teacher, out) if teacher else ([], "")
    version = package_student(student, out, scorecard, adapters=adapters, prompts=prompts, pattern=pattern)
    console.print(f"Packaged as {version}.")
    if served(version.parent) != int(version.name):
        console.print(f"Version {served(version.parent)} is still served: `rats switch {out} {version.name}`.")


def _packaged_teacher(name: str, out: Path) -> tuple[list[str], str]:
    """Package the teacher of a recipe; returns what its students are trained on, and the pattern of that."""
    from components.package_student.work import training_prompts
    from components.prepare.resolve import resolve
    from rats_train.config import load_recipe
    from rats_train.embedded import teacher_folder
    from serving.packaging.teacher import package_teacher

    recipe = resolve(load_recipe(name))
    prompts, pattern = training_prompts(recipe)
    version = package_teacher(
        teacher_folder(recipe.teacher.path),
        out,
        steps=[*recipe.student.steps, recipe.teacher.steps],
        guidance_scale=recipe.teacher.guidance_scale,
        resolution=recipe.resolution,
        prompts=prompts,
        pattern=pattern,
    )
    console.print(f"Its teacher is {version}.")
    return prompts, pattern


@app.command(epilog="Example: [bold]rats switch models 2[/bold]")
def switch(
    repo: Annotated[Path, typer.Argument(help="Model repository.", exists=True, file_okay=False)],
    version: Annotated[int | None, typer.Argument(help="Version to serve; the one before if not given.")] = None,
    model: Annotated[str, typer.Option(help="Name of the student in the repository.")] = "student",
) -> None:
    """Serve another version of a student, or the one before; a running endpoint loses no request over it."""
    from serving.package.promotion import promote, roll_back

    if version is None:
        version = roll_back(repo, model=model).version
    else:
        promote(repo, version, model=model)
    console.print(f"{model} version {version} is verified, and the one to serve.")


@app.command(epilog="Example: [bold]rats deploy models-canary models[/bold]")
def deploy(
    source: Annotated[Path, typer.Argument(help="Model repository with the student to serve.", exists=True)],
    repo: Annotated[Path, typer.Argument(help="Model repository that is served; made if missing.")],
) -> None:
    """Bring the student of one model repository into another and serve it there; a running endpoint follows."""
    from serving.packaging.deployment import deploy as deploy_students

    for package in deploy_students(source, repo):
        console.print(f"{package.model} version {package.version} is verified, and the one to serve in {repo}.")


@app.command(epilog="Example: [bold]rats serve --port 8080[/bold]")
def serve(
    repo: Annotated[Path | None, typer.Option(help="Model repository; the champion's if not given.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    workspace: Workspace = RUNS,
    everybody: Annotated[bool, typer.Option("--everybody", help="Ask nobody for an API key.")] = False,
    nsfw_guard: Annotated[bool, typer.Option("--nsfw-guard", help="Withhold unsafe pictures.")] = False,
    log_prompts: Annotated[bool, typer.Option("--log-prompts", help="Write prompts into the log.")] = False,
) -> None:
    """Serve a packaged student: Triton behind an OpenAI-compatible endpoint, until Ctrl-C.

    Requests are logged to standard error, one JSON object a line.
    """
    from pipelines.champion import champion_package

    repo = repo or champion_package(workspace)
    from pipelines.view import call_example
    from serving.endpoint import Endpoint, run_forever
    from serving.gateway.logs import log_as_json
    from serving.gateway.settings import public_settings

    settings = public_settings(host, nsfw_guard=nsfw_guard, log_prompts=log_prompts, everybody=everybody)
    log_as_json()

    def on_ready(endpoint: Endpoint) -> None:
        console.print(f"[green]Ready[/green] at {endpoint.url}, until Ctrl-C. Try the page there, or:\n")
        console.print(call_example(endpoint.url), markup=False, highlight=False, soft_wrap=True)

    run_forever(repo, on_ready=on_ready, host=host, http_port=port, settings=settings)


@app.command(epilog="Example: [bold]rats verify-image owls.png[/bold]")
def verify_image(
    file: Annotated[Path, typer.Argument(help="A picture that an endpoint drew.")],
    keys: Annotated[
        Path | None, typer.Option(help="Folder with the endpoint's pictures.pub.pem; this user's own if not given.")
    ] = None,
) -> None:
    """Check a picture's signature, and show what drew it."""
    from serving.gateway.provenance import verify_image as verify

    claim = verify(file, keys)
    done = "" if claim.step == claim.num_inference_steps else f", a preview after {claim.step}"
    console.print(
        f"[green]Genuine[/green]: drawn by {claim.model} version {claim.version} with seed {claim.seed} "
        f"in {claim.num_inference_steps} steps{done}; package {claim.package_sha256[:12]}."
    )


@app.command(epilog="Example: [bold]rats vote latest:student_3 latest:teacher_3[/bold]")
def vote(
    first: Annotated[str, typer.Argument(help="RUN, RUN:ARM, or the same of an evaluation folder.")],
    second: Annotated[str, typer.Argument(help="Another one, judged on the same prompts and seeds.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets phones in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8090,
    result: Annotated[bool, typer.Option("--result", help="Count the votes so far, and serve no page.")] = False,
    workspace: Workspace = RUNS,
) -> None:
    """Ask people which of two students draws better: a page for blind votes, until Ctrl-C; then count them."""
    from pipelines.view import preference_view
    from pipelines.vote.ballot import Ballot
    from pipelines.vote.contestants import find_contestants
    from pipelines.vote.result import count, publish
    from pipelines.vote.server import serve_vote
    from pipelines.vote.votes import VoteLog

    root = workspace.resolve()
    ballot = Ballot(*find_contestants(root, first, second))
    log = VoteLog(root / "votes" / ballot.key / "votes.jsonl")

    def on_ready(url: str) -> None:
        console.print(f"[green]Vote[/green] at {url}, until Ctrl-C. Votes are kept in {log.path}.", soft_wrap=True)

    if not result:
        serve_vote(ballot, log, host, port, on_ready)
    seen = count(log.read(), ballot)
    files = publish(seen, ballot) if seen else []
    console.print(preference_view(seen, files), soft_wrap=True)


app.command(epilog="Example: [bold]rats promote emoji[/bold]")(promotion.promote)
app.command(epilog="Example: [bold]rats rollback emoji[/bold]")(promotion.rollback)


@world.command(epilog="Example: [bold]rats world build --out checkpoints --step teacher[/bold]")
def build(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints.")],
    step: Annotated[
        str, typer.Option(help="autoencoder, reward_a, reward_b or teacher; all, in this order, if not given.")
    ] = "all",
) -> None:
    """Train the embedded teacher and reward models again, from the art on; resumes where it stopped."""
    from rats_train.world.build import build as build_world

    build_world(out=out, step=step)


@app.command(epilog="Example: [bold]rats benchmark methods --seeds 5[/bold]")
def benchmark(
    suite: Annotated[str, typer.Argument(help="A suite under benchmarks/, or a YAML file of one's own.")] = "methods",
    seeds: Annotated[int, typer.Option(help="How many seeds to train each method with.", min=1)] = 5,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD[:SEED]", help="Run these alone; the table keeps what it has of the others."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the plots.")] = Path("benchmarks/results"),
    workspace: Workspace = RUNS,
) -> None:
    """Train and judge several methods side by side, and write one table; carries on where it stopped."""
    from pipelines.benchmark.report import measure
    from pipelines.benchmark.results import summary_table
    from pipelines.benchmark.suite import choose_cases, load_suite, plan_cases

    loaded = load_suite(suite)
    cases = plan_cases(loaded, seeds)
    chosen = choose_cases(cases, only) if only else cases
    stem = out / f"{loaded.recipe}_{Path(suite).stem}"
    rows = measure(cases, chosen, stem, f"rats benchmark {suite} --seeds {seeds}", workspace, console)
    console.print(summary_table(rows))
    console.print(f"\nThe table is {stem}.json and .csv; pictures and trainings lie beside it.")


@app.command("compile", epilog="Example: [bold]rats compile --out train_and_deploy.yaml[/bold]")
def compile_(
    pipeline: Annotated[
        str, typer.Argument(help="train_and_deploy, evaluate_only or retrain_on_new_reward.")
    ] = "train_and_deploy",
    out: Annotated[Path | None, typer.Option(help="YAML file to write; named after the pipeline if not given.")] = None,
) -> None:
    """Write a pipeline as the YAML that a Kubeflow cluster takes."""
    from pipelines.compiled import compile_pipeline

    out = compile_pipeline(out or Path(f"{pipeline}.yaml"), pipeline)
    console.print(f"Wrote {out}: upload it in the Kubeflow Pipelines UI, or with `kfp pipeline create`.")


@app.command(epilog="Example: [bold]rats doctor[/bold] for this machine, or [bold]rats doctor latest[/bold] for a run")
def doctor(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Name or folder of a run, or latest.")] = None,
    workspace: Workspace = RUNS,
) -> None:
    """Look at everything that a run needs on this machine, or at a run; name the cure for what is wrong."""
    from pipelines.doctor.findings import findings_table
    from pipelines.doctor.machine import examine

    if run_id is None:
        findings = examine(workspace)
    else:
        from pipelines.doctor.run import diagnose, locate

        findings = diagnose(locate(workspace, run_id))
    console.print(findings_table(findings))
    if any(finding.cure for finding in findings):
        raise typer.Exit(1)
    console.print("\nAll is well.")


def main() -> None:
    """Entry point: a known failure is one line on standard error and the status that belongs to it."""
    try:
        app()
    except (UserError, RetryableError, StepFailedError) as error:
        errors.print(f"[bold red]rats:[/bold red] {error}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("stopped; the same command carries on where it stopped")
        sys.exit(130)


if __name__ == "__main__":
    main()
