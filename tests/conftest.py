"""Random, tiny, complete models in folders that all tests share."""

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # Without a GPU, kernels run in Triton's interpreter, which has to be chosen before anything imports triton.
    os.environ["TRITON_INTERPRET"] = "1"

from transformers import CLIPConfig, CLIPModel

from rats_train.files import write_json
from rats_train.models.load import load_model
from tests.tiny_pipelines import TEXT, tiny_sd3, tiny_tokenizer

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_pipeline_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random StableDiffusion3Pipeline folder: 64x64 pixels, two layers, no T5."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "teacher"
    tiny_sd3().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tiny_reward_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIPModel folder with tokenizer and preprocessor, for 32x32 pixels."""
    torch.manual_seed(1)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 16,
    }
    path = tmp_path_factory.mktemp("models") / "reward"
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=16)).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    write_json(path / "preprocessor_config.json", {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.3, 0.2, 0.1]})
    return path


@pytest.fixture(scope="session")
def tiny_student_dir(tiny_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random student for 3, 5 and 8 steps, as training leaves it."""
    path = tmp_path_factory.mktemp("models") / "student"
    load_model(tiny_pipeline_dir).save_student(path, None, terminal_sigma=0.25, steps=[3, 5, 8], guidance_scale=1.0)
    return path
