"""A CLIP tokenizer in which every word of the grammar is one token; any other text falls apart into letters."""

import json
from typing import Any, Final

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from rats_train.world.vocabulary import BACKGROUNDS, COUNT_WORDS, NOUNS, RELATIONS

MAX_LENGTH: Final = 16
START, END = "<|startoftext|>", "<|endoftext|>"


def grammar_words() -> list[str]:
    """Every word that a prompt of the grammar may hold, sorted."""
    words = {"a", "an", "background", ",", *BACKGROUNDS, *COUNT_WORDS, *" ".join(RELATIONS).split()}
    return sorted(words | {noun.singular for noun in NOUNS} | {noun.plural for noun in NOUNS})


def build_tokenizer() -> CLIPTokenizer:
    """Byte-level BPE, merged until each grammar word is whole."""
    words = grammar_words()
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = sorted(set("".join(words)))
    trainer = trainers.BpeTrainer(vocab_size=4000, min_frequency=0, end_of_word_suffix="</w>", initial_alphabet=letters)
    bpe.train_from_iterator(words, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [START, END, *alphabet, *(f"{c}</w>" for c in alphabet)]
    pieces += [piece for piece in dict.fromkeys("".join(pair) for pair in merges) if piece not in set(pieces)]
    vocabulary: Any = {piece: i for i, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)
