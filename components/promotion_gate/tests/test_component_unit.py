from pathlib import Path

import pytest
from kfp import dsl

from components.promotion_gate.component import promotion_gate
from rats_train.files import read_json


@pytest.mark.parametrize(("lead", "verdict"), [(0.1, "promote"), (-0.1, "reject")])
def test_the_verdict_is_a_token_with_reasons(make_card, tmp_path, output, workspace, lead, verdict):
    make_card(lead=lead).write(tmp_path / "scorecard.json")
    summary = output(dsl.Markdown, "summary")
    assert promotion_gate.python_func("k1", dsl.Artifact(uri=str(tmp_path)), summary) == verdict
    text = Path(summary.path).read_text()
    assert text.startswith(f"# {verdict}, ")
    assert ("**not met**" in text) is (verdict == "reject")
    assert read_json(workspace / "steps" / "promotion_gate.json")["headline"].startswith(verdict)
