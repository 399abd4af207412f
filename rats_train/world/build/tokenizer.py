"""A CLIP tokenizer in which every word of the grammar is one token; any other text falls apart into letters."""

from collections import Counter
from itertools import pairwise
from typing import Any, Final

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from rats_train.world.vocabulary import BACKGROUNDS, COUNT_WORDS, NOUNS, RELATIONS

MAX_LENGTH: Final = 16
START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


def grammar_words() -> list[str]:
    """Every word that a prompt of the grammar may hold, sorted."""
    words = {"a", "an", "background", ",", *BACKGROUNDS, *COUNT_WORDS, *" ".join(RELATIONS).split()}
    return sorted(words | {noun.singular for noun in NOUNS} | {noun.plural for noun in NOUNS})


def build_tokenizer() -> CLIPTokenizer:
    """Byte-level BPE, merged until each grammar word is whole; the same at every call, for builds are resumed."""
    merges: Any = learn_merges(grammar_words())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [START, END, *alphabet, *(f"{c}{WORD_END}" for c in alphabet)]
    pieces += [piece for piece in dict.fromkeys("".join(pair) for pair in merges) if piece not in set(pieces)]
    vocabulary: Any = {piece: i for i, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Merge the commonest pair of pieces, the first in the alphabet among equals, until every word is one piece.

    The trainer of the tokenizers library breaks such ties anew in every process.
    """
    spelled = [[*word[:-1], word[-1] + WORD_END] for word in words]
    merges = []
    while counts := Counter(pair for pieces in spelled for pair in pairwise(pieces)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        spelled = [_merged(pieces, best) for pieces in spelled]
    return merges


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
