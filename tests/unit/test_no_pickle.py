"""Nothing of ours loads code from data: no pickle, no unsafe loader, no eval, no shell strings."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    file
    for folder in ("rats_train", "serving", "reward_server", "components", "pipelines")
    for file in (ROOT / folder).rglob("*.py")
]
FORBIDDEN_IMPORTS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "yaml.load", "numpy.load", "np.load", "eval", "exec", "os.system"}
FORBIDDEN_KEYWORDS = {"shell", "trust_remote_code", "allow_pickle"}
# Released reward models are such files; this one function reads them, and executes nothing.
READS_CHECKPOINTS = ROOT / "rats_train" / "rewards" / "convert" / "checkpoint.py"
TENSORS_ALONE = "torch.load(path, map_location='cpu', weights_only=True)"


def unsafe(source: str) -> list[str]:
    """Every unsafe import, call or keyword of a source, as text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_IMPORTS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_IMPORTS:
            found.append(node.module or "")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found += [name] * (name in FORBIDDEN_CALLS)
            found += [
                str(word.arg) for word in node.keywords if word.arg in FORBIDDEN_KEYWORDS and _is_true(word.value)
            ]
    return found


def _is_true(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value is False)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_sources_load_no_code_from_data(file: Path) -> None:
    assert unsafe(file.read_text()) == ["torch.load"] * (file == READS_CHECKPOINTS)


def test_the_one_reader_of_checkpoints_takes_tensors_alone() -> None:
    calls = [
        ast.unparse(node) for node in ast.walk(ast.parse(READS_CHECKPOINTS.read_text())) if isinstance(node, ast.Call)
    ]
    assert [call for call in calls if call.startswith("torch.load")] == [TENSORS_ALONE]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        *(f"{call}(p)" for call in ("torch.load", "eval")),
        *(f"{call}=True)" for call in ("np.load(p, allow_pickle", "run(c, shell")),
    ],
)
def test_the_check_finds_what_it_looks_for(line: str) -> None:
    assert unsafe(line)


def test_the_package_carries_no_pickled_weights() -> None:
    suffixes = {file.suffix for file in (ROOT / "rats_train").rglob("*") if file.is_file()}
    assert suffixes.isdisjoint({".bin", ".pt", ".pth", ".pkl", ".ckpt", ".npy", ".npz"})
