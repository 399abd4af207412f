"""Random LoRA adapters of the tiny student."""

from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict


def make_adapter(student: Path, folder: Path, seed: int) -> Path:
    """A random adapter of the SD3 student in ``student``, as the file that diffusers writes into ``folder``."""
    torch.manual_seed(seed)
    pipeline = DiffusionPipeline.from_pretrained(student, text_encoder_3=None, tokenizer_3=None)
    transformer = pipeline.transformer
    transformer.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v", "net.2"]))
    for name, weight in transformer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1.0)
    pipeline.save_lora_weights(folder, transformer_lora_layers=get_peft_model_state_dict(transformer))
    return folder
