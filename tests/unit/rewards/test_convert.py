"""Released checkpoints, random and tiny but with their own names, against the folders that are made of them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPModel

from rats_train.errors import UserError
from rats_train.rewards.aesthetic import AestheticReward
from rats_train.rewards.convert import aesthetic, hpsv2, image_reward
from rats_train.rewards.hpsv2 import Hpsv2Reward
from rats_train.rewards.image_reward import ImageReward, ImageRewardNetwork
from rats_train.rewards.score_head import ScoreHead
from tests.tiny_pipelines import MERGES, VOCABULARY, tiny_tokenizer
from tests.tiny_rewards import PROMPTS, bert_tokenizer, noise, randomised

WIDTH = 32  # two numbers for each of 16 heads
TOKENS = 16


class Block(nn.Module):
    """A transformer block with open_clip's names and its fused projection."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, 16, batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 48))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(48, WIDTH))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


def blocks() -> nn.Module:
    tower = nn.Module()
    tower.resblocks = nn.ModuleList(Block() for _ in range(3))
    return tower


class Vision(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 8, 8, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros(17, WIDTH))
        self.ln_pre, self.ln_post, self.transformer = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), blocks()
        self.proj = nn.Parameter(torch.zeros(WIDTH, 24))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual, self.transformer = Vision(), blocks()
        self.token_embedding = nn.Embedding(len(VOCABULARY) + len(MERGES), WIDTH)
        self.positional_embedding = nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.zeros(WIDTH, 24))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def encode_text(self, tokens: Tensor, ends: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.positional_embedding
        mask = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)
        for block in self.transformer.resblocks:
            x = block(x, mask)
        return self.ln_final(x)[torch.arange(len(x)), ends] @ self.text_projection


@pytest.fixture(scope="module")
def open_clip() -> OpenClip:
    return randomised(OpenClip()).eval()


@pytest.fixture(scope="module")
def hps_dir(open_clip: OpenClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hps")
    torch.save({"epoch": 3, "state_dict": open_clip.half().state_dict()}, path / "HPS.pt")
    open_clip.float()
    tiny_tokenizer().save_pretrained(path / "tokenizer")
    hpsv2.convert(path / "HPS.pt", path / "tokenizer", path / "out")
    return path / "out"


def test_hpsv2_scores_as_the_network_it_was_released_as(open_clip: OpenClip, hps_dir: Path) -> None:
    reward = Hpsv2Reward(hps_dir, "hps")
    images = torch.nn.functional.interpolate(noise(), size=(32, 32), mode="bicubic", antialias=True)
    tokens = tiny_tokenizer()(PROMPTS, padding="max_length", max_length=TOKENS, return_tensors="pt").input_ids
    ends = (tokens == 1).int().argmax(dim=1)
    mean, std = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    pixels = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        expected = torch.cosine_similarity(open_clip.visual(pixels), open_clip.encode_text(tokens, ends))
    torch.testing.assert_close(reward.score(images, PROMPTS), expected, atol=1e-6, rtol=1e-5)
    assert expected.std() > 1e-3


def test_every_weight_of_hpsv2_is_found_again(open_clip: OpenClip, hps_dir: Path) -> None:
    model = CLIPModel.from_pretrained(hps_dir)
    for tower, released in ((model.vision_model, open_clip.visual), (model.text_model, open_clip)):
        for layer, block in zip(tower.encoder.layers, released.transformer.resblocks, strict=True):
            attention = layer.self_attn
            for kind in ("weight", "bias"):
                parts = [
                    getattr(projection, kind) for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
                ]
                assert torch.equal(torch.cat(parts), getattr(block.attn, f"in_proj_{kind}"))
    assert torch.equal(model.visual_projection.weight.T, open_clip.visual.proj)
    assert torch.equal(model.logit_scale, open_clip.logit_scale)
    assert model.dtype == torch.float32


BLIP_NAMES = (
    ("vision.embeddings.class_embedding", "blip.visual_encoder.cls_token"),
    ("vision.embeddings.position_embedding", "blip.visual_encoder.pos_embed"),
    ("vision.embeddings.patch_embedding", "blip.visual_encoder.patch_embed.proj"),
    ("vision.post_layernorm", "blip.visual_encoder.norm"),
    ("vision.encoder.layers", "blip.visual_encoder.blocks"),
    ("self_attn.qkv", "attn.qkv"),
    ("self_attn.projection", "attn.proj"),
    ("layer_norm", "norm"),
    ("text.", "blip.text_encoder."),
    ("head.", "mlp."),
)


def released_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names that ImageReward was released under, and some of what lies beside them there."""
    found = {"blip.vision_proj.weight": torch.zeros(2), "blip.text_encoder.embeddings.position_ids": torch.zeros(1, 40)}
    for name, weight in weights.items():
        for ours, theirs in BLIP_NAMES:
            name = name.replace(ours, theirs)
        found[name] = weight
    return found


@pytest.fixture(scope="module")
def blip() -> ImageRewardNetwork:
    from transformers import BlipTextConfig, BlipVisionConfig

    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "max_position_embeddings": 40}
    return randomised(
        ImageRewardNetwork(
            BlipVisionConfig(**vision, num_attention_heads=16, layer_norm_eps=1e-6),
            BlipTextConfig(
                **text, num_attention_heads=12, vocab_size=len(bert_tokenizer()) + 2, encoder_hidden_size=32
            ),
        )
    ).eval()


def test_image_reward_is_found_again(blip: ImageRewardNetwork, tmp_path: Path) -> None:
    torch.save(released_names(blip.state_dict()), tmp_path / "ImageReward.pt")
    bert_tokenizer().save_pretrained(tmp_path / "bert")
    image_reward.convert(tmp_path / "ImageReward.pt", tmp_path / "bert", tmp_path / "out")
    reward = ImageReward(tmp_path / "out", "ir")
    found = reward._network.state_dict()
    assert found.keys() == blip.state_dict().keys()
    assert all(torch.equal(found[name], weight) for name, weight in blip.state_dict().items())
    vision, text = reward._network.vision.config, reward._network.text.config
    assert (vision.num_attention_heads, vision.layer_norm_eps, vision.image_size) == (16, 1e-6, 32)
    assert (text.num_attention_heads, text.layer_norm_eps, text.hidden_act) == (12, 1e-12, "gelu")
    assert reward.score(noise(), PROMPTS).std() > 1e-6


def test_a_tokenizer_of_another_vocabulary_is_refused(blip: ImageRewardNetwork, tmp_path: Path) -> None:
    torch.save(released_names(blip.state_dict()), tmp_path / "ImageReward.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has 5: name a folder with the tokenizer of bert-base-uncased"):
        image_reward.convert(tmp_path / "ImageReward.pt", tmp_path / "empty", tmp_path / "out")


def test_the_aesthetic_head_goes_beside_its_clip_model(tiny_reward_dir: Path, tmp_path: Path) -> None:
    head = randomised(ScoreHead(16))
    torch.save(head.state_dict(), tmp_path / "sac.pth")
    aesthetic.convert(tmp_path / "sac.pth", tiny_reward_dir, tmp_path / "out")
    assert load_file(tmp_path / "out" / "mlp.safetensors").keys() == head.state_dict().keys()
    assert AestheticReward(tmp_path / "out", "nice").score(noise(), PROMPTS).shape == (3,)


def test_what_is_no_such_checkpoint_is_one_line(tmp_path: Path, open_clip: OpenClip) -> None:
    tiny_tokenizer().save_pretrained(tmp_path / "words")

    def refused(content: object, message: str) -> None:
        torch.save(content, tmp_path / "some.pt")
        with pytest.raises(UserError, match=message) as caught:
            hpsv2.convert(tmp_path / "some.pt", tmp_path / "words", tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()

    weights = open_clip.state_dict()
    refused({"other": torch.zeros(2)}, "has no visual.conv1.weight")
    refused(weights | {"extra": torch.zeros(2)}, "extra is .* and should be absent")
    refused(weights | {"text_projection": torch.zeros(WIDTH, 20)}, "projection.weight is .* and should be")
    refused({"state_dict": 3}, "holds no state dict")
    refused(
        weights | {"token_embedding.weight": torch.zeros(90, WIDTH)}, "knows 90 words, and the tokenizer in .* has 8"
    )
    refused(open_clip, "is no checkpoint of tensors alone")
    with pytest.raises(UserError, match=r"No checkpoint .*absent\.pt"):
        hpsv2.convert(tmp_path / "absent.pt", tmp_path / "words", tmp_path / "out")
