"""Text as numbers: characters, bytes or words, and which of them are known."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from echoic.core.checks import at_least, one_of

UNKNOWN = "<unk>"
END = "<eos>"
UNITS = ("character", "byte", "word")
# Beyond it, symbols want an embedding; the usual size of a vocabulary of words.
LARGEST = {"character": 256, "byte": 256, "word": 10_000}


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    r"""The symbols that a text is made of; each stands for its place.

    **Fields**

    - ``symbols``: characters, bytes as Latin-1 characters, or words; ``unit``: which of these.
    - ``digest``: a hash of them. Vocabularies are equal if it is.

    **Example**
    >>> words = Vocabulary.of(["<unk>", "<eos>", "to", "be"], "word")
    >>> words.encode("to be\nor to").tolist()
    [2, 3, 1, 0, 2, 1]
    >>> words.decode([2, 3, 1, 0])
    'to be\n<unk>'
    """

    symbols: tuple[str, ...] = dataclasses.field(repr=False, compare=False)
    unit: str
    digest: str

    @staticmethod
    def of(symbols: Sequence[str], unit: str) -> "Vocabulary":
        """A vocabulary from its symbols."""
        digest = hashlib.sha256("\0".join([unit, *symbols]).encode()).hexdigest()[:16]
        return Vocabulary(tuple(symbols), unit, digest)

    def __len__(self) -> int:
        return len(self.symbols)

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """The number of each symbol."""
        return {symbol: place for place, symbol in enumerate(self.symbols)}

    def encode(self, text: str) -> Int[np.ndarray, "t"]:
        """The numbers of a text's symbols.

        **Raises** ValueError for a symbol that is not known, unless ``<unk>`` is one.
        """
        codes, names = numbered([text], self.unit)
        unknown = self.places.get(UNKNOWN)
        lookup = np.array([self.places.get(name, -1) for name in names], np.int32)
        if unknown is None and (lookup < 0).any():
            raise ValueError(
                f"{names[int(np.argmin(lookup))]!r} is not among the {len(self)} {self.unit}s."
            )
        return np.where(lookup < 0, -1 if unknown is None else unknown, lookup)[codes[0]]

    def decode(self, codes: Iterable[Any]) -> str:
        """The text of numbers; words are joined by spaces, and ``<eos>`` ends a line."""
        found = [self.symbols[int(code)] for code in codes]
        if self.unit != "word":
            return "".join(found)
        lines: list[list[str]] = [[]]
        for word in found:
            if word == END:
                lines.append([])
            else:
                lines[-1].append(word)
        return "\n".join(map(" ".join, lines))


def numbered(texts: Sequence[str], unit: str) -> tuple[list[np.ndarray], list[str]]:
    """Each text as numbers of the symbols that occur in any of them, and these symbols.

    Words are what stands between white space; ``<eos>`` is added at the end of each line, blank
    ones included.
    """
    if one_of("unit", unit, UNITS) == "word":
        places: dict[str, int] = {}
        codes = [
            np.fromiter((places.setdefault(word, len(places)) for word in _words(text)), np.int64)
            for text in texts
        ]
        return codes, list(places)
    points = [np.frombuffer(text.encode("utf-32-le"), np.uint32) for text in texts]
    largest = max((int(part.max()) for part in points if part.size), default=0)
    occurs = np.zeros(largest + 1, bool)
    for part in points:
        occurs[part] = True
    present = np.flatnonzero(occurs)
    lookup = np.cumsum(occurs) - 1
    return [lookup[part] for part in points], [chr(point) for point in present]


def _words(text: str):
    lines = text.replace("\r\n", "\n").split("\n")
    # Nothing follows the last newline: that is no line.
    for line in lines if lines[-1] else lines[:-1]:
        yield from line.split()
        yield END


def chosen(
    codes: Sequence[np.ndarray], names: Sequence[str], unit: str, cap: int | None, unknown: bool
) -> tuple[list[np.ndarray], Vocabulary]:
    """The vocabulary of three parts of a text, and the parts in its numbers.

    Without ``unknown`` it holds all symbols of all parts. With it, it holds ``<unk>`` and the most
    frequent symbols of the first part, and no more than ``cap`` in all.

    **Raises** ValueError for more than ``cap`` symbols where none may be unknown.
    """
    cap = at_least("vocabulary", LARGEST[unit] if cap is None else cap, 2)
    counts = np.bincount(codes[0], minlength=len(names))
    if not unknown:
        if len(names) > cap:
            raise ValueError(
                f"the text has {len(names):,} different {unit}s, more than vocabulary={cap:,}:"
                " raise it, or let rare ones be <unk> by unknown=True."
            )
        kept = np.arange(len(names))
        vocabulary = Vocabulary.of(names, unit)
    else:
        counts[[place for place, name in enumerate(names) if name == UNKNOWN]] = 0
        order = np.argsort(-counts, kind="stable")[: cap - 1]
        kept = np.sort(order[counts[order] > 0]) if unit != "word" else order[counts[order] > 0]
        vocabulary = Vocabulary.of([UNKNOWN] + [names[int(place)] for place in kept], unit)
    lookup = np.zeros(len(names), np.int64)
    lookup[kept] = np.arange(len(kept)) + unknown
    kind = np.min_scalar_type(len(vocabulary) - 1)
    return [lookup[part].astype(kind) for part in codes], vocabulary
