"""Language models: the next character, byte or word of a text."""

from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Integer, PRNGKeyArray

from echoic.core.checks import at_least, one_of
from echoic.core.task import AbstractStreamTask, Batch, Split
from echoic.data import DataError, DataNotFoundError, registry
from echoic.data.text import decode, read_bytes
from echoic.init.parameters import Real, real
from echoic.tasks.sequences import entropy
from echoic.tasks.vocabulary import UNITS, Vocabulary, chosen, numbered

Part = Split | Literal["train"]


class Text(AbstractStreamTask):
    """Foretell the next symbol of a text.

    **Definition.** A text of N symbols is cut into ``batch`` rows of ``(N - 1) // batch`` that
    follow each other; each row is read in segments of ``segment_length`` symbols, from left to
    right. The network's state is carried from one to the next, gradients are not (truncated
    backpropagation). The target at every step is the next symbol, the loss cross entropy in nats:
    bits per character are ``loss / ln 2``, the perplexity is ``exp(loss)``. What does not fill the
    last segment of a row is left out.

    **Arguments**

    - ``data``: a text by name (``"tinyshakespeare"``, ``"austen"``, ``"text8"``, ...) or the path
      of a UTF-8 file, which may be packed by gzip or bzip2; or ``text``: the text itself.
    - ``unit``: ``"character"``, ``"byte"`` or ``"word"``. Words stand between white space, and
      ``<eos>`` at the end of each line.
    - ``segment_length``: over how many steps gradients reach back.
    - ``vocabulary``: the most symbols there may be; 256, of words 10,000.
    - ``unknown``: whether symbols beyond these become ``<unk>``. Then the vocabulary holds the most
      frequent ones of the training part, and what is new in the other parts is unknown, too. If
      False, it holds all symbols of all parts, and more than ``vocabulary`` are refused. By default
      True of words, else False.
    - ``validation``, ``test``: shares of the text at its end, in this order. Or the rest comes from
      files of its own: ``validation_data`` and ``test_data``, names or paths as ``data``.
    - ``data_dir``: where to look first for a named text.

    **Raises** ValueError for more symbols than the vocabulary may have and for parts that are too
    short; DataError for what is no text; DataNotFoundError for what is not there.

    **Chance.** The entropy of the single symbols of the training part.

    **Misleads.** Perplexities compare only for the same text, vocabulary and treatment of
    ``<unk>``: the more words are unknown, the lower they are. Lines that a typesetter has broken
    put ``<eos>`` where a reader expects none.

    **Cost.** The text stays in memory as one or two bytes a symbol.

    **Reference.** Mikolov et al. (2010), Recurrent neural network based language model; Zaremba,
    Sutskever & Vinyals (2014) for rows and carried state; Merity, Keskar & Socher (2018) for
    ``<eos>`` at line ends.

    **Example**
    >>> task = Text(text="abcd" * 50, segment_length=5, validation=0.1, test=0.1)
    >>> task.num_segments(batch=2), task.input_size
    (15, 4)
    >>> batch = task.segment(1, 2)
    >>> task.vocabulary.decode(batch.inputs[0]), task.vocabulary.decode(batch.targets[0])
    ('bcdab', 'cdabc')
    """

    name = "text"
    loss = "cross_entropy"
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    segment_length: int = eqx.field(static=True)
    vocabulary: Vocabulary = eqx.field(static=True)
    streams: dict[str, Integer[Array, "t"]]
    source: str = eqx.field(static=True)

    def __init__(
        self,
        data: str | Path | None = None,
        *,
        text: str | None = None,
        unit: str = "character",
        segment_length: int = 100,
        vocabulary: int | None = None,
        unknown: bool | None = None,
        validation: Real = 0.05,
        test: Real = 0.05,
        validation_data: str | Path | None = None,
        test_data: str | Path | None = None,
        data_dir: str | Path | None = None,
    ):
        one_of("unit", unit, UNITS)
        self.segment_length = at_least("segment_length", segment_length, 1)
        if (data is None) == (text is None):
            raise ValueError("a text is given by its name or path as data, or itself as text.")
        if (validation_data is None) != (test_data is None):
            raise ValueError("validation_data and test_data come together or not at all.")
        first = text if text is not None else _read(data, unit, data_dir)
        if validation_data is None:
            (whole,), names = numbered([first], unit)
            parts = _cut(
                whole, real("validation", validation, 0.0, 1.0), real("test", test, 0.0, 1.0)
            )
        else:
            rest = [_read(path, unit, data_dir) for path in (validation_data, test_data)]
            parts, names = numbered([first, *rest], unit)
        for part, codes in zip(("train", "validation", "test"), parts, strict=True):
            if len(codes) <= self.segment_length:
                raise ValueError(
                    f"the {part} part has {len(codes)} {unit}s: a segment of"
                    f" {self.segment_length} needs one more than that."
                )
        known = unit == "word" if unknown is None else unknown
        parts, self.vocabulary = chosen(parts, names, unit, vocabulary, known)
        self.streams = {
            part: jnp.asarray(codes)
            for part, codes in zip(("train", "validation", "test"), parts, strict=True)
        }
        self.input_size = self.output_size = len(self.vocabulary)
        self.source = "a text" if data is None else Path(data).name

    @property
    def description(self) -> str:
        """Which text, in how many parts of what."""
        unit = self.vocabulary.unit
        sizes = ", ".join(f"{len(codes):,}" for codes in self.streams.values())
        return (
            f"The next {unit} of {self.source}: {sizes} {unit}s to train, validate and test,"
            f" {len(self.vocabulary):,} different ones, in segments of {self.segment_length}."
        )

    @property
    def chance(self) -> float:
        """The entropy of single symbols."""
        return entropy(np.bincount(np.asarray(self.streams["train"])))

    def num_segments(self, batch: int, split: Part = "train") -> int:
        """How many segments each of ``batch`` rows has; 0 if there are too many rows."""
        row = (len(self.streams[split]) - 1) // at_least("batch", batch, 1)
        return row // self.segment_length

    def segment(self, index: Any, batch: int, split: Part = "train") -> Batch:
        """Segment ``index`` of every row, and the symbols that come next."""
        self._refuse_too_many_rows(batch, split)
        row = (len(self.streams[split]) - 1) // batch
        starts = jnp.arange(batch, dtype=jnp.int32) * row
        return self._at(starts + jnp.asarray(index, jnp.int32) * self.segment_length, split)

    def sample(self, key: PRNGKeyArray, batch: int) -> Batch:
        """Segments from anywhere in the training part."""
        self._refuse_too_many_rows(batch, "train")
        last = len(self.streams["train"]) - self.segment_length
        return self._at(jr.randint(key, (batch,), 0, last, jnp.int32), "train")

    def _at(self, starts: Integer[Array, "b"], split: Part) -> Batch:
        steps = jnp.arange(self.segment_length + 1, dtype=jnp.int32)
        codes = self.streams[split][starts[:, None] + steps[None]].astype(jnp.int32)
        return Batch(codes[:, :-1], codes[:, 1:])

    def _refuse_too_many_rows(self, batch: int, split: Part) -> None:
        if self.num_segments(batch, split) < 1:
            total = len(self.streams[split])
            raise ValueError(
                f"batch must lie in 1..{(total - 1) // self.segment_length} for segments of"
                f" {self.segment_length} in the {split} part of {total} symbols, got {batch}: take"
                " a smaller batch, or a smaller segment_length."
            )


def _cut(codes: np.ndarray, validation: float, test: float) -> list[np.ndarray]:
    """The beginning to train on, then the validation part, then the test part."""
    held = [round(share * len(codes)) for share in (validation, test)]
    first = len(codes) - sum(held)
    if first < 1:
        raise ValueError(
            f"validation and test must leave something to train on, got {validation} and {test}."
        )
    return np.split(codes, [first, first + held[0]])


def _read(source: Any, unit: str, data_dir: str | Path | None) -> str:
    """A text by name or path; bytes as Latin-1 characters."""
    path = Path(source).expanduser()
    if str(source) in registry.REGISTRY:
        entry = registry.entry(str(source))
        if entry.reader not in ("text", "bytes_text"):
            raise DataError(f"{entry.name} is no text: {entry.description}")
        path = registry.require_intact(entry, data_dir)[0]
    elif not path.is_file():
        if not path.suffix and path.name == str(source):
            registry.entry(str(source))
        raise DataNotFoundError(f"there is no file {str(path)!r}, nor a text of this name.")
    content = read_bytes(path)
    if not content.strip():
        raise DataError(f"{path} is empty: it has no characters.")
    return content.decode("latin-1") if unit == "byte" else decode(content, path)
