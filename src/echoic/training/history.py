"""What a training run writes down: a table with one line for each member and interval."""

import dataclasses
import io
import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

# The columns that every run has; those of diagnostics come after them.
COLUMNS = (
    "step",
    "member",
    "train_loss",
    "validation_loss",
    "accuracy",
    "gradient_norm",
    "largest_gradient_norm",
    "seconds",
)


@dataclasses.dataclass(frozen=True)
class History:
    """The table of a run, by column.

    **Fields** of ``columns``, all arrays of one length:

    - ``step``: updates made so far; ``member``: which network, from 0.
    - ``train_loss``, ``gradient_norm``, ``largest_gradient_norm``: mean and maximum over the
      updates since the line before, the norm being that before clipping. NaN where there was none.
    - ``validation_loss``, ``accuracy``: on sequences held back; accuracy is NaN for a regression.
    - ``seconds``: since the run began, that of interrupted runs included.
    - diagnostics, NaN on lines where they were not taken.

    **Example**
    >>> history = History.of([{"step": 10, "member": 0, "train_loss": 0.5}])
    >>> history.column("train_loss").tolist(), len(history)
    ([0.5], 1)
    """

    columns: dict[str, Float[np.ndarray, "rows"] | Int[np.ndarray, "rows"]]

    @staticmethod
    def of(rows: list[dict[str, Any]]) -> "History":
        """The table of lines; what a line lacks is NaN."""
        names = [*COLUMNS, *dict.fromkeys(k for row in rows for k in row if k not in COLUMNS)]
        columns = {}
        for name in names:
            kind = np.int64 if name in ("step", "member") else np.float64
            columns[name] = np.array([row.get(name, math.nan) for row in rows], kind)
        return History(columns)

    def rows(self) -> list[dict[str, Any]]:
        """The lines, without what is NaN."""
        return [
            {
                name: column[i].item()
                for name, column in self.columns.items()
                if not np.isnan(column[i])
            }
            for i in range(len(self))
        ]

    def __len__(self) -> int:
        return len(self.columns["step"])

    def column(self, name: str) -> np.ndarray:
        """One column, of all members."""
        return self.columns[name]

    def curve(
        self, name: str, member: int = 0
    ) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "k"]]:
        """Steps and values of one member, without the lines where nothing was taken."""
        chosen = (self.columns["member"] == member) & ~np.isnan(self.columns[name])
        return self.columns["step"][chosen], self.columns[name][chosen]

    def to_csv(self) -> str:
        """The table as text; an empty field is a number that was not taken."""
        text = io.StringIO()
        names = list(self.columns)
        text.write(",".join(names) + "\n")
        for i in range(len(self)):
            fields = [self.columns[name][i] for name in names]
            text.write(",".join("" if np.isnan(x) else repr(x.item()) for x in fields) + "\n")
        return text.getvalue()
