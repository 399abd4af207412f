import pytest
import yaml

from pipelines.trigger.ledger import Version
from pipelines.trigger.settings import Retraining, parameters, read_settings
from rats_train.config import load_recipe
from rats_train.errors import UserError

TRAIN = 'rewards.train=[{name: sharp, path: "hpsv2@2", weight: 0.5}, {name: b, path: "embedded:a"}]'


def test_the_new_version_takes_the_place_of_the_old_and_nothing_else_changes():
    given = parameters(Retraining(reward="hpsv2", recipe="emoji", overrides=[TRAIN]), Version("hpsv2", 7))
    before, after = load_recipe("emoji", [TRAIN]), load_recipe(given["recipe"], given["overrides"])
    assert [spec.path for spec in after.rewards.train] == ["hpsv2@7", "embedded:a"]
    assert after.rewards.train[0].weight == 0.5
    assert after.rewards.heldout == before.rewards.heldout
    assert given["reward"] == "hpsv2@7"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"retrain": [{"reward": "hpsv2", "recipe": "emoji"}]}, "Recipe emoji does not train on hpsv2.*hpsv2@1"),
        ({"retrain": [{"reward": "hpsv2", "recipe": "emojy"}]}, "No recipe emojy"),
        ({"retrain": []}, "retrain: List should have at least 1 item"),
        ({"retrain": [{"reward": "hpsv2", "recipe": "emoji", "overrides": [TRAIN]}] * 2}, "hpsv2 twice"),
        ({"secret": "x"}, "secret: Extra inputs"),
    ],
)
def test_a_mistake_is_found_before_the_service_begins(tmp_path, change, said):
    values = {"retrain": [{"reward": "hpsv2", "recipe": "emoji", "overrides": [TRAIN]}]}
    file = tmp_path / "trigger.yaml"
    file.write_text(yaml.safe_dump(values))
    assert read_settings(file).of("hpsv2") is not None
    file.write_text(yaml.safe_dump(values | change))
    with pytest.raises(UserError, match=said):
        read_settings(file)
