"""The prompt grammar of EmojiScenes, its parser, and the split into training and held-out prompts.

A prompt is ``SUBJECT[, COLOUR background]`` where the subject is one of

* ``a fox`` (one), ``three foxes`` (two to four),
* ``a fox left of an owl``, ``a fox above an owl``, ``a fox and an owl``.

Style, places, the order in ``A and B`` and, in half of the prompts, the background stay unsaid.
"""

import hashlib
import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from rats_train.world.vocabulary import BACKGROUNDS, COUNT_WORDS, NOUNS, RELATIONS

HELDOUT_SHARE: Final = 0.2  # of noun pairs and of count-noun combinations
WATCHED_SHARE: Final = 0.2  # of held-out prompts: those that a training is watched by, and never judged by

_BY_SINGULAR: Final = {noun.singular: noun for noun in NOUNS}
_BY_PLURAL: Final = {noun.plural: noun for noun in NOUNS}
_ONE: Final = "|".join(f"{noun.article} {noun.singular}" for noun in NOUNS)
PATTERN: Final = re.compile(
    rf"(?:(?P<first>{_ONE})(?: (?P<relation>{'|'.join(RELATIONS)}) (?P<second>{_ONE}))?"
    rf"|(?P<count>{'|'.join(COUNT_WORDS)}) (?P<plural>{'|'.join(_BY_PLURAL)}))"
    rf"(?:, (?P<background>{'|'.join(BACKGROUNDS)}) background)?"
)


@dataclass(frozen=True)
class Prompt:
    """What a prompt says: one noun and a count, or two nouns and a relation; perhaps a background."""

    nouns: tuple[str, ...]
    count: int = 1
    relation: str | None = None
    background: str | None = None

    def __str__(self) -> str:
        first = _BY_SINGULAR[self.nouns[0]]
        if self.relation:
            second = _BY_SINGULAR[self.nouns[1]]
            subject = f"{first.article} {first.singular} {self.relation} {second.article} {second.singular}"
        elif self.count > 1:
            subject = f"{next(w for w, n in COUNT_WORDS.items() if n == self.count)} {first.plural}"
        else:
            subject = f"{first.article} {first.singular}"
        return f"{subject}, {self.background} background" if self.background else subject

    @property
    def is_heldout(self) -> bool:
        """Whether its noun pair, or its count-noun combination, is never drawn in training."""
        if self.relation:
            return is_heldout_combination(" + ".join(sorted(self.nouns)))
        return self.count > 1 and is_heldout_combination(f"{self.count} x {self.nouns[0]}")


def is_heldout_combination(combination: str) -> bool:
    """A stable draw: one combination in five is held out, whatever the order of the vocabulary."""
    return _share_of(combination) < HELDOUT_SHARE


def _share_of(text: str) -> float:
    """A number in [0, 1) that is the text's own."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def parse(text: str) -> Prompt | None:
    """Read a prompt; ``None`` where it lies outside the grammar."""
    match = PATTERN.fullmatch(text.strip().lower())
    if match is None:
        return None
    part = match.groupdict()
    if part["count"]:
        noun = _BY_PLURAL[part["plural"]].singular
        return Prompt((noun,), count=COUNT_WORDS[part["count"]], background=part["background"])
    nouns = tuple(part[key].split(" ", 1)[1] for key in ("first", "second") if part[key])
    if len(set(nouns)) != len(nouns):
        return None
    return Prompt(nouns, relation=part["relation"], background=part["background"])


def form(text: str) -> str:
    """What a prompt of the grammar asks for, without its nouns: ``one``, ``3 of a kind``, ``A left of B``.

    Raises:
        ValueError: the prompt lies outside the grammar.
    """
    prompt = parse(text)
    if prompt is None:
        raise ValueError(f"{text!r} is no prompt of the embedded world")
    if prompt.relation:
        return f"A {prompt.relation} B"
    return f"{prompt.count} of a kind" if prompt.count > 1 else "one"


def _subjects(heldout: bool | None) -> dict[str, list[Prompt]]:
    """All subjects of one side of the split (None: of both), by kind, without a background."""
    singles = [Prompt((noun.singular,)) for noun in NOUNS]
    counts = [Prompt((noun.singular,), count=n) for noun in NOUNS for n in COUNT_WORDS.values()]
    pairs = [
        Prompt(order, relation=relation)
        for a, b in itertools.combinations([noun.singular for noun in NOUNS], 2)
        for order in ((a, b), (b, a))
        for relation in RELATIONS
    ]
    kinds = {
        "count": [p for p in counts if heldout in (None, p.is_heldout)],
        "pair": [p for p in pairs if heldout in (None, p.is_heldout)],
    }
    if not heldout:
        return {"single": singles, **kinds}
    # A held-out prompt combines known words anew; a plural that no training prompt holds would be a new word.
    known = {p.nouns for p in counts if not p.is_heldout}
    return {**kinds, "count": [p for p in kinds["count"] if p.nouns in known]}


def _stream(seed: int, heldout: bool | None) -> Iterator[Prompt]:
    rng = random.Random(f"{seed}/{ {True: 'heldout', False: 'train', None: 'any'}[heldout] }")
    kinds = _subjects(heldout)
    weights = [{"single": 1.0, "count": 1.5, "pair": 2.5}[kind] for kind in kinds]
    while True:
        kind = rng.choices(list(kinds), weights)[0]
        yield _before_a_ground(rng.choice(kinds[kind]), rng)


def _before_a_ground(subject: Prompt, rng: random.Random) -> Prompt:
    """The subject with a background or, half of the time, without."""
    return replace(subject, background=rng.choice(list(BACKGROUNDS)) if rng.random() < 0.5 else None)


def train_prompts(count: int, seed: int) -> list[str]:
    """``count`` prompts for training, a function of the seed; repeats may occur."""
    return [str(prompt) for prompt, _ in zip(_stream(seed, heldout=False), range(count), strict=False)]


def practice_prompts(count: int, seed: int) -> list[str]:
    """``count`` training prompts to distil on: each form that has a held-out side as often as the others.

    One object alone is no such form: a teacher that draws two seldom fails at one, and there is nothing to combine.
    """
    rng = random.Random(f"{seed}/practice")
    forms: dict[tuple[int, str | None], list[Prompt]] = {}
    kinds = _subjects(heldout=False)
    for subject in (*kinds["count"], *kinds["pair"]):
        forms.setdefault((subject.count, subject.relation), []).append(subject)
    turns = itertools.islice(itertools.cycle(forms.values()), count)
    return [str(_before_a_ground(rng.choice(subjects), rng)) for subjects in turns]


def any_prompts(count: int, seed: int) -> list[str]:
    """``count`` prompts from both sides of the split: for judges, which must know them all alike."""
    return [str(prompt) for prompt, _ in zip(_stream(seed, heldout=None), range(count), strict=False)]


def heldout_prompts(count: int, seed: int) -> list[str]:
    """``count`` distinct prompts, or all there are, of pairs and count-noun combinations never drawn in training."""
    return _distinct(count, seed, watched=False)


def watched_prompts(count: int, seed: int) -> list[str]:
    """As `heldout_prompts`, from prompts that no seed of `heldout_prompts` draws."""
    return _distinct(count, seed, watched=True)


def _distinct(count: int, seed: int, *, watched: bool) -> list[str]:
    grounds = [None, *BACKGROUNDS]
    subjects = [subject for kind in _subjects(heldout=True).values() for subject in kind]
    side = {
        text
        for subject in subjects
        for ground in grounds
        if (_share_of(text := str(replace(subject, background=ground))) < WATCHED_SHARE) is watched
    }
    distinct: dict[str, None] = {}
    stream = _stream(seed, heldout=True)
    while len(distinct) < min(count, len(side)):
        if (text := str(next(stream))) in side:
            distinct.setdefault(text)
    return list(distinct)
