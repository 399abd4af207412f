"""What a student knows, as data in its package: the words of its training prompts, and a few prompts to try.

A prompt from outside is served all the same, with a note that says which words are new to the student.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_CLOSED_WORLD = 500
"""A student trained on more words than this speaks ordinary language: no word is worth a note."""
_EXAMPLES = 8
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class PromptHints:
    """The words that a student was trained on (none: any word is fine) and example prompts."""

    vocabulary: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @classmethod
    def from_prompts(cls, prompts: Sequence[str]) -> "PromptHints":
        """The hints that training `prompts` give."""
        words = {word for prompt in prompts for word in _words(prompt)}
        examples = list(dict.fromkeys(prompts))[:_EXAMPLES]
        return cls(sorted(words) if len(words) <= _CLOSED_WORLD else [], examples)

    def note(self, prompt: str) -> str | None:
        """One sentence about a prompt from outside the student's world, None for one from inside."""
        unknown = [word for word in dict.fromkeys(_words(prompt)) if word not in self.vocabulary]
        if not self.vocabulary or (not unknown and _words(prompt)):
            return None
        what = f"was not trained on {', '.join(map(repr, unknown[:5]))}" if unknown else "was trained on words"
        return f"this student {what}: the picture may miss the prompt. Try {self.examples[0]!r}."


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
