"""Sentences for the sample checkpoint: the vocabulary of words.txt in many grammars.

A model trained on a few fixed templates learns to guess the template instead of
listening. So about a third of the text is word salad, a third is freely
chained phrases, and only the rest follows the grammar of sentences.txt.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORDS = (HERE / "words.txt").read_text("utf-8").split()
FLOOR = frozenset((HERE / "sentences.txt").read_text("utf-8").splitlines())

NAMES = "Anna Clara David Henry Lucy Maria Peter Tom".split()
NOUNS = (
    "bird boat bridge captain child city clock doctor dog door forest garden horse house king "
    "letter market mountain river road song story table teacher train window"
).split()
PLURALS = (
    "birds boats bridges children dogs doors gardens horses houses letters mountains rivers "
    "songs stories teachers trains windows"
).split()
ADJECTIVES = (
    "blue bright broken cold dark empty golden green heavy large old quiet red small warm young"
).split()
PAST = ("carried closed crossed followed found heard left opened painted reached remembered watched").split()
BASE = "carry close cross find follow hear leave open paint reach remember watch".split()
ADVERBS = "again always never quickly slowly almost together".split()
PREPOSITIONS = "above across behind beside beyond near through under".split()
NUMBERS = "two three four five six seven eight nine ten twelve twenty".split()
TIMES = [
    "at night", "at noon", "before noon", "after noon", "in the morning", "on Sunday", "every winter",
    "this summer", "after dinner", "before dinner", "yesterday", "every morning", "this winter",
    "every night", "every summer", "on Sunday morning", "yesterday morning", "all night",
]  # fmt: skip
PROPER = frozenset(NAMES) | {"Sunday", "I"}


def split_of(text: str) -> str:
    """`train`, `dev` or `test`, from the sentence alone; nothing in sentences.txt is trained on."""
    if text in FLOOR:
        return "test"
    bucket = hashlib.sha256(text.encode()).digest()[0] % 16
    return {0: "test", 1: "dev"}.get(bucket, "train")


class Grammar:
    """Draws sentences; the same seed draws the same sentences."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def sentence(self, split: str = "train", *, sense: bool = False) -> str:
        """One sentence of the given split; with `sense`, none without a grammar."""
        while True:
            kind = self.rng.uniform(0.34 if sense else 0.0, 1.0)
            text = self._salad() if kind < 0.34 else self._free() if kind < 0.67 else self._plain()
            if split_of(text) == split:
                return text

    def _one(self, words: list[str]) -> str:
        return self.rng.choice(words)

    def _noun(self) -> str:
        r = self.rng.random()
        if r < 0.30:
            return self._one(NAMES)
        if r < 0.55:
            return f"the {self._one(ADJECTIVES)} {self._one(NOUNS)}"
        if r < 0.75:
            return f"{self._one(['the', 'this', 'every', 'no'])} {self._one(NOUNS)}"
        if r < 0.88:
            return f"{self._one(NUMBERS)} {self._one(ADJECTIVES)} {self._one(PLURALS)}"
        return f"{self._one(['the', 'all', 'no', 'all the'])} {self._one(PLURALS)}"

    def _place(self) -> str:
        return f"{self._one([*PREPOSITIONS, 'in', 'on', 'at'])} {self._noun()}"

    def _time(self) -> str:
        if self.rng.random() < 0.25:
            return f"at {self._one(NUMBERS)} o'clock"
        return self._one(TIMES)

    def _clause(self) -> str:
        subject = self._noun() if self.rng.random() < 0.75 else self._one(["they", "we", "you", "I"])
        r = self.rng.random()
        if r < 0.55:
            verb = self._one(PAST)
        elif r < 0.75:
            verb = f"{self._one(['will', 'cannot', 'did not', 'will not', 'will never'])} {self._one(BASE)}"
        else:
            verb = f"{self._one(ADVERBS)} {self._one(PAST)}"
        tail = [f for f in (self._place, self._time) if self.rng.random() < 0.4]
        return " ".join([subject, verb, self._noun(), *(f() for f in tail)])

    def _plain(self) -> str:
        """The grammar of sentences.txt, with wider fillings."""
        n, adj, past, base = self._one(NAMES), self._one(ADJECTIVES), self._one(PAST), self._one(BASE)
        noun, noun2, many = self._one(NOUNS), self._one(NOUNS), self._one(PLURALS)
        prep, when = self._one(PREPOSITIONS), self._time()
        forms = [
            f"{n} and {self._one(NAMES)} {self._one(ADVERBS)} {past} the {adj} {noun}.",
            f"{n} {past} {self._one(NUMBERS)} {adj} {many} {when}.",
            f"Where did {n} {base} the {noun}?",
            f"There were {self._one(NUMBERS)} {many} {prep} the {noun}, and they were all {adj}.",
            f"The {adj} {noun} {past} the {noun2} {prep} the {self._one(ADJECTIVES)} {self._one(NOUNS)}.",
            f"Please {base} the {noun} {when}, {n}.",
            f"We will {base} the {noun} {prep} the {noun2} {when}.",
            f"I think the {noun} is {adj}, but {n} is not sure.",
            f"No, you cannot {base} the {many} {prep} the {noun}!",
            f"Is the {noun} {adj} or {self._one(ADJECTIVES)}?",
            f"The {many} were almost {adj}.",
            f"{n}, {self._one(NAMES)} and {self._one(NAMES)} {past} the {noun} together.",
        ]
        return _sentence_case(self._one(forms))

    def _free(self) -> str:
        clause = self._clause()
        r = self.rng.random()
        if r < 0.35:
            joint = self._one([", and ", ", but ", " and ", ", or "])
            clause = f"{clause}{joint}{self._clause()}"
        elif r < 0.5:
            clause = f"{self._time()}, {clause}"
        elif r < 0.6:
            clause = f"{self._one(['I think', 'we think', 'please', 'no', 'where', 'not'])} {clause}"
        return _sentence_case(clause + self._one([".", ".", ".", ".", "!", "?"]))

    def _salad(self) -> str:
        words = [self._one(WORDS) for _ in range(self.rng.randint(1, 10))]
        words = [w.capitalize() if w.capitalize() in PROPER else w for w in words]
        for i in range(len(words) - 1):
            if self.rng.random() < 0.08:
                words[i] += ","
        return _sentence_case(" ".join(words) + self._one([".", ".", ".", "!", "?"]))


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]
