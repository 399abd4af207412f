"""The README of every component, written from its code and its metadata: ``python -m components.readme``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from docstring_parser import parse

from components.shared.summary import table

FOLDER = Path(__file__).parent
_GENERATED = "Written by `python -m components.readme` from `component.py` and `metadata.yaml`: change those."


def component_folders() -> list[Path]:
    """The folder of every component."""
    return sorted(path.parent for path in FOLDER.glob("*/component.py"))


def readme(folder: Path) -> str:
    """What the README of the component in ``folder`` has to say."""
    module = import_module(f"components.{folder.name}.component")
    component = getattr(module, folder.name)
    spec, docstring = component.component_spec, parse(component.python_func.__doc__)
    told = {parameter.arg_name: _line(parameter.description) for parameter in docstring.params}
    inputs, outputs = spec.inputs or {}, spec.outputs or {}
    rows = [_row([name], [inputs[name]], told[name]) for name in inputs]
    made = [_row([name], [outputs[name]], told[name]) for name in outputs if name in told]
    # What the function returns, by one name or by many, is described as a whole.
    if returned := [name for name in outputs if name not in told]:
        made.append(_row(returned, [outputs[name] for name in returned], _line(docstring.returns.description)))
    parts = [
        f"# {folder.name.replace('_', ' ').capitalize()}",
        module.__doc__.strip(),
        table(["in", "kind", ""], rows) if rows else "",
        table(["out", "kind", ""], made),
        _facts(yaml.safe_load((folder / "metadata.yaml").read_text())),
        _GENERATED,
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _row(names: list[str], specs: list[Any], text: str) -> list[str]:
    return [", ".join(f"`{name}`" for name in names), ", ".join(dict.fromkeys(map(_kind, specs))), text]


def _kind(spec: Any) -> str:
    """``system.Dataset@0.0.1`` as ``Dataset``, many of them as ``list of Dataset``."""
    kind = spec.type.removeprefix("system.").partition("@")[0]
    return f"list of {kind}" if spec.is_artifact_list else kind


def _facts(metadata: dict[str, Any]) -> str:
    needs = [f"Kubeflow {each['name']} {each['version']}" for each in metadata["dependencies"]["kubeflow"]]
    needs += [each["name"] for each in metadata["dependencies"]["external_services"]]
    return (
        f"Category {metadata['category']}, stability {metadata['stability']}, last verified "
        f"{metadata['lastVerified']}. Needs {', '.join(needs)}."
    )


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def main() -> None:
    """Write them all."""
    for folder in component_folders():
        (folder / "README.md").write_text(readme(folder))


if __name__ == "__main__":
    main()
