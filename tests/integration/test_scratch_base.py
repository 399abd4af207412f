import json, os
from pathlib import Path
import pytest
from rats_train.engine.train import train
from tests.integration.conftest import changed, with_method
@pytest.mark.parametrize("name", ["rats","distill","grpo","rats_grpo","reward_only"])
def test_it(tiny_recipe, tiny_store, ranks, tmp_path, name):
    extra = {"group_size": 2} if "grpo" in name else {}
    if name == "grpo": extra["kl_weight"] = 0.1
    r = with_method(changed(tiny_recipe,"training",steps=4), name, **extra)
    train(r, tiny_store, tmp_path, ranks)
    out = Path(os.environ["BASE_OUT"]); out.mkdir(exist_ok=True)
    lines=[json.loads(l) for l in (tmp_path/"metrics.jsonl").read_text().splitlines()]
    for l in lines: l.pop("seconds")
    (out/f"{name}.json").write_text(json.dumps(lines))
