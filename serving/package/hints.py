"""What a student knows, as data in its package: the words and sentences of its training, and a few prompts to try.

A prompt from outside is served all the same, with a note that says what is new to the student.
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
    """The words that a student was trained on (none: any word is fine), its sentences, and example prompts."""

    vocabulary: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    pattern: str = ""
    """Regular expression that its prompts match, in lower case; empty: any sentence is fine."""

    @classmethod
    def from_prompts(cls, prompts: Sequence[str], pattern: str = "") -> "PromptHints":
        """The hints that training `prompts` give, and the `pattern` that they all match if there is one."""
        words = {word for prompt in prompts for word in _words(prompt)}
        examples = list(dict.fromkeys(prompts))[:_EXAMPLES]
        return cls(sorted(words) if len(words) <= _CLOSED_WORLD else [], examples, pattern)

    def note(self, prompt: str) -> str | None:
        """One sentence about a prompt from outside the student's world, None for one from inside."""
        unknown = [word for word in dict.fromkeys(_words(prompt)) if word not in self.vocabulary]
        if self.vocabulary and unknown:
            news = f"was not trained on {', '.join(map(repr, unknown[:5]))}"
        elif self.pattern and not re.fullmatch(self.pattern, prompt.strip().lower()):
            news = "was not trained on such sentences"
        else:
            return None
        advice = f" Try {self.examples[0]!r}." if self.examples else ""
        return f"This student {news}: the picture may miss the prompt.{advice}"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
