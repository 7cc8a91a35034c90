"""What every measurement returns: a value, its error, and whether to believe it."""

import enum
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int


class Status(enum.IntFlag):
    """What there is to know about an answer before it is believed. Flags combine."""

    OK = 0
    SINGULAR = enum.auto()
    SUM_RULE_BROKEN = enum.auto()
    LOW_PRECISION = enum.auto()
    NOT_CONVERGED = enum.auto()
    UNSTABLE = enum.auto()
    NOT_FINITE = enum.auto()
    BELOW_NOISE = enum.auto()
    GROWING = enum.auto()
    SHORT_SERIES = enum.auto()
    ILL_CONDITIONED = enum.auto()

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence for people for each flag that is set."""
        return tuple(text for flag, text in _SENTENCES.items() if flag in self)

    @property
    def trusted(self) -> bool:
        """Whether the number may be used as it stands."""
        return not self & _UNTRUSTED


_SENTENCES = {
    Status.SINGULAR: "The Jacobians are singular: some exponents are -inf.",
    Status.SUM_RULE_BROKEN: (
        "Untrusted: the exponents do not add up to the mean log|det J|, rounding has eaten"
        " the contracting part."
    ),
    Status.LOW_PRECISION: "Measured in float32: contracting directions are lost to rounding.",
    Status.NOT_CONVERGED: "Not converged: the answer still drifts with the length of the run.",
    Status.UNSTABLE: "The network is unstable: no stationary state exists.",
    Status.NOT_FINITE: "The trajectory left the finite numbers.",
    Status.BELOW_NOISE: "Nothing can be seen: the value lies below the noise floor.",
    Status.GROWING: "The value grows with the lag: it has no horizon.",
    Status.SHORT_SERIES: "The series is short for this measurement: the error is a rough one.",
    Status.ILL_CONDITIONED: "The equations are ill-conditioned: digits are lost.",
}
_UNTRUSTED = (
    Status.SUM_RULE_BROKEN | Status.NOT_CONVERGED | Status.NOT_FINITE | Status.ILL_CONDITIONED
)


class UntrustedError(ValueError):
    """Raised with ``throw=True`` where the mathematics has no answer to give."""


class Settings(Mapping[str, Any]):
    """The settings of a measurement: a read-only, hashable mapping of plain values."""

    def __init__(self, **values: Any):
        self._items = tuple(values.items())

    def __getitem__(self, name: str) -> Any:
        return dict(self._items)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._items == other._items

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{k}={v!r}" for k, v in self._items) + ")"


class Estimate(eqx.Module):
    """A measured quantity.

    **Fields**

    - ``value``: the quantity. For a memory curve, entry ``k`` belongs to lag ``k``
      (lag 0 is the newest input) unless ``details["lag"]`` says otherwise.
    - ``standard_error``: one standard error, same shape; zero where the value is exact,
      NaN where no error can be given.
    - ``status``: integer flags, see [`Status`][echoic.Status].
    - ``settings``: what the measurement was asked and what it chose by itself.
    - ``details``: further arrays by name, such as a history or a sum-rule residual.
    """

    value: Float[Array, "..."]
    standard_error: Float[Array, "..."]
    status: Int[Array, "..."]
    settings: Settings = eqx.field(static=True)
    details: dict[str, Array]

    def __init__(
        self,
        value: Any,
        standard_error: Any = None,
        status: Any = Status.OK,
        settings: Settings | None = None,
        details: Mapping[str, Any] | None = None,
    ):
        self.value = jnp.asarray(value)
        self.standard_error = (
            jnp.zeros_like(self.value) if standard_error is None else jnp.asarray(standard_error)
        )
        self.status = (
            jnp.asarray(int(status), jnp.int32) if isinstance(status, int) else jnp.asarray(status)
        )
        self.settings = Settings() if settings is None else settings
        self.details = {} if details is None else dict(details)

    @property
    def statuses(self) -> Status:
        """All flags of a concrete estimate, batched ones joined."""
        return Status(int(np.bitwise_or.reduce(np.asarray(self.status), axis=None)))

    def throw(self, *forbidden: Status) -> "Estimate":
        """Raise when one of the given flags is set. Under tracing the flags are left to speak."""
        if isinstance(self.status, Tracer):
            return self
        found = self.statuses & _union(forbidden)
        if found:
            raise UntrustedError(" ".join(found.sentences) + " Pass throw=False to get the value.")
        return self

    def __str__(self) -> str:
        text = f"{np.asarray(self.value)} ± {np.asarray(self.standard_error)}"
        return " ".join([text, *self.statuses.sentences])


def _union(flags: tuple[Status, ...]) -> Status:
    total = Status.OK
    for flag in flags:
        total |= flag
    return total
