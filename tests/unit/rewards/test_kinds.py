"""What tells the kinds of reward apart: each one's own equation, and one clear line for a folder that is not its."""

import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec, Statistics
from rats_train.rewards.aesthetic import AestheticReward
from rats_train.rewards.build import load_reward
from rats_train.rewards.clip import ClipReward
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.hpsv2 import Hpsv2Reward
from rats_train.rewards.image_reward import ImageReward
from rats_train.rewards.ocr import OcrReward
from rats_train.rewards.pickscore import PickScoreReward
from tests.tiny_rewards import PROMPTS, aesthetic_dir, image_reward_dir, make_case, noise, signs


def edged() -> torch.Tensor:
    """Wide pictures[3, 3, 40, 64] with hard edges."""
    return (noise()[..., :40, :] > 0.5).float()


def test_hpsv2_is_the_cosine_of_the_uncut_middle_square(tiny_reward_dir: Path) -> None:
    images = edged()
    middle = F.interpolate(images, size=(32, 51), mode="bicubic", antialias=True)[..., 10:42]
    reward = Hpsv2Reward(tiny_reward_dir, "hps")
    features = reward._model.get_image_features(
        pixel_values=(middle - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1))
        / torch.tensor([0.3, 0.2, 0.1]).view(3, 1, 1)
    ).pooler_output
    expected = F.cosine_similarity(features, reward._text_features(PROMPTS))
    torch.testing.assert_close(reward.score(images, PROMPTS), expected)


def test_pickscore_is_scaled_and_reads_the_picture_as_bytes_are_resized(tiny_reward_dir: Path) -> None:
    images = edged()
    reward = PickScoreReward(tiny_reward_dir, "pick")
    across = F.interpolate(images, size=(40, 51), mode="bicubic", antialias=True).clamp(0, 1)
    cut = F.interpolate(across, size=(32, 51), mode="bicubic", antialias=True).clamp(0, 1)[..., 10:42]
    expected = reward._model.logit_scale.exp() * ClipReward(tiny_reward_dir, "clip").score(cut, PROMPTS)
    torch.testing.assert_close(reward.score(images, PROMPTS), expected)
    assert reward._model.logit_scale.exp() > 10


def test_the_aesthetic_head_reads_unit_features_and_no_prompt(tiny_reward_dir: Path, tmp_path: Path) -> None:
    reward = AestheticReward(aesthetic_dir(tmp_path / "a", tiny_reward_dir), "nice")
    features = reward.image_features(noise())
    expected = features
    for layer in (0, 2, 4, 6, 7):
        expected = F.linear(expected, *reward._head.layers[layer].parameters())
    torch.testing.assert_close(reward.score(noise(), PROMPTS), expected[:, 0])


def test_image_reward_reads_the_prompt_before_the_picture_both_ways(tmp_path: Path) -> None:
    """BERT with cross-attention, told to look both ways, is the text tower of the release."""
    reward = ImageReward(image_reward_dir(tmp_path / "ir"), "ir")
    text, head = reward._network.text, reward._network.head
    sizes = text.config.to_dict()
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    config = BertConfig(**{key: sizes[key] for key in keys}, max_position_embeddings=40)
    config.is_decoder = config.add_cross_attention = True
    config.encoder_hidden_size = 16
    bert = BertModel(config, add_pooling_layer=False).eval()
    for layer in bert.encoder.layer:
        for name in ("key", "value"):
            setattr(layer.crossattention.self, name, torch.nn.Linear(16, sizes["hidden_size"]))
    bert.load_state_dict(text.state_dict(), strict=False)
    bert.embeddings.token_type_embeddings.weight.data.zero_()
    config.is_decoder = False
    tokens = reward._tokenizer(PROMPTS, padding="max_length", max_length=35, truncation=True, return_tensors="pt")
    seen = reward._network.vision(pixel_values=reward._pixels(noise())).last_hidden_state
    read = bert(
        input_ids=tokens.input_ids,
        attention_mask=tokens.attention_mask,
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long),
    ).last_hidden_state[:, 0]
    expected = (head(read) - 0.16717362830052426) / 1.0333394966054072
    torch.testing.assert_close(reward.score(noise(), PROMPTS), expected)


def test_image_reward_reads_35_tokens(tmp_path: Path) -> None:
    reward = ImageReward(image_reward_dir(tmp_path / "ir"), "ir")
    letters = "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6"  # 33 pieces between the two marks
    same, other = reward.score(noise(1).expand(2, -1, -1, -1), [letters, letters + " x"])
    assert same == other
    first, second = reward.score(noise(1).expand(2, -1, -1, -1), [letters[:-2], letters])
    assert first != second


@pytest.mark.parametrize("kind", ["image_reward", "hpsv2", "pickscore", "aesthetic"])
def test_a_folder_of_another_model_is_one_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    with pytest.raises(UserError, match=r"^[^\n]*mine[^\n]*$"):
        load_reward(RewardSpec(name="mine", kind=kind, path=str(tmp_path)))


def test_an_aesthetic_folder_without_a_fitting_head_is_one_line(tiny_reward_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no mlp.safetensors: put the predictor's head there"):
        AestheticReward(tiny_reward_dir, "nice")
    path = aesthetic_dir(tmp_path / "a", tiny_reward_dir)
    (path / "mlp.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"^[^\n]*does not hold the weights of reward nice[^\n]*$"):
        AestheticReward(path, "nice")
    shutil.copyfile(tiny_reward_dir / "model.safetensors", path / "mlp.safetensors")
    with pytest.raises(UserError, match=r"^[^\n]*does not hold the weights of reward nice[^\n]*$"):
        AestheticReward(path, "nice")


@pytest.mark.parametrize("kind", ["verifier", "likeness"])
def test_the_rules_refuse_pictures_of_another_size(kind: str) -> None:
    reward = load_reward(RewardSpec(name="rules", kind=kind))
    with pytest.raises(UserError, match="rules knows the rules of 64 x 64 scenes, not of 32 x 48 pictures"):
        reward.score(torch.rand(1, 3, 32, 48), ["a fox"])


def test_the_rules_reward_what_the_prompt_asks_for(tmp_path: Path, tiny_reward_dir: Path) -> None:
    case = make_case("verifier", tmp_path, tiny_reward_dir)
    assert load_reward(case.spec).score(case.images, ["a fox", "two foxes", "a fox"]).tolist() == [1, 1, 0]


def test_likeness_is_to_a_scene_of_the_prompt_and_offers_no_gradient(tmp_path: Path, tiny_reward_dir: Path) -> None:
    images = make_case("likeness", tmp_path, tiny_reward_dir).images.requires_grad_()
    reward = load_reward(RewardSpec(name="real", kind="likeness"))
    right, wrong, elsewhere = reward.score(images, ["a fox", "a fox", "a castle"]).tolist()
    assert (right, elsewhere) == (60, 0)
    assert 5 < wrong < 20
    assert not reward.score(images, ["a fox"] * 3).requires_grad


@pytest.mark.parametrize("kind", ["ocr", "nsfw"])
def test_a_missing_package_names_the_extra_that_brings_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr("rats_train.rewards.extras.import_module", absent)
    with pytest.raises(UserError, match=rf"^Reward mine needs the package [^\n]*pip install 'rats-train\[{kind}\]'\.$"):
        load_reward(RewardSpec(name="mine", kind=kind))


def test_reading_counts_words_whatever_their_case() -> None:
    pytest.importorskip("rapidocr_onnxruntime")
    reward = OcrReward("text")
    prompts = ['a card "new" “SHOP”', 'a card "new shop"', 'a card "open"', 'a card "new new"']
    assert reward.score(signs(["NEW", "NEW SHOP", "SHOP", "NEW"]), prompts).tolist() == [0.5, 1, 0, 0.5]
    with pytest.raises(UserError, match="there are none in 'a card': quote what is to be written"):
        reward.score(signs(["NEW"]), ["a card"])


def test_the_digest_sees_what_scores_depend_on(tiny_reward_dir: Path, tmp_path: Path) -> None:
    spec = RewardSpec(name="a", path=str(tiny_reward_dir))
    changes = [{}, {"kind": "hpsv2"}, {"statistics": Statistics(mean=0, std=2)}, {"kind": "verifier", "path": None}]
    digests = [reward_digest(spec.model_copy(update=change)) for change in changes]
    assert len(set(digests)) == 4
    assert reward_digest(spec.model_copy(update={"name": "b", "weight": 2})) == digests[0]
    with pytest.raises(UserError, match=r"The path of reward a names .*nowhere"):
        reward_digest(spec.model_copy(update={"path": str(tmp_path / "nowhere")}))
