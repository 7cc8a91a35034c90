"""Biases that set how long a gate keeps its state.

A gate that multiplies the old state by ``sigmoid(b)`` keeps it for about ``1 / (1 - sigmoid(b))``
steps. These initialisers know which gate that is: the forget gate of an LSTM, the update gate of
a GRU in PyTorch's convention (``h' = z h + (1 - z) n``), the gate of a minimalRNN.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.init.dense import zeros
from echoic.init.parameters import EntryMoments, Real, set_real

Role = Literal["keep", "write", "other"]


@dataclasses.dataclass(frozen=True)
class opposite:
    """Minus what another initialiser draws: the law of the bias that mirrors another one.

    **Example**
    >>> opposite(forget(1.0))(None, (2,)).tolist()
    [-1.0, -1.0]
    """

    of: Any

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        return -self.of(key, shape, dtype)

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        mean, std = self.of.entry_moments(shape)
        return EntryMoments(-mean, std)


@dataclasses.dataclass(frozen=True)
class forget:
    """A constant bias on the gate that keeps the state.

    **Definition.** ``b = value`` on that gate; ``rest`` draws the other gates' biases (zeros).

    **Reference.** Gers, Schmidhuber & Cummins (2000); Jozefowicz et al. (2015) for value 1.

    **Example**
    >>> forget(1.0)(None, (2,)).tolist()
    [1.0, 1.0]
    """

    value: Real = 1.0
    rest: Callable[..., Array] = zeros()

    def __post_init__(self):
        set_real(self, "value")

    def __call__(
        self, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        return jnp.full(shape, self.value, dtype)

    def gates(
        self, key: PRNGKeyArray, roles: Mapping[str, Role], size: int, dtype: Any = jnp.float32
    ) -> dict[str, Array]:
        """One bias vector a gate, by the gates' roles."""
        return {
            gate: law(gate_key, (size,), dtype)
            for (gate, law), gate_key in zip(
                self.laws(roles).items(), jr.split(key, len(roles)), strict=True
            )
        }

    def laws(self, roles: Mapping[str, Role]) -> dict[str, Any]:
        """From which law each gate's bias is drawn."""
        return {gate: self if role == "keep" else self.rest for gate, role in roles.items()}

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        return EntryMoments(self.value, 0.0)


@dataclasses.dataclass(frozen=True)
class chrono:
    """Time constants spread over the lags up to ``horizon`` (Tallec & Ollivier 2018).

    **Definition.** Bias of the gate that keeps the state ``b = log u``, ``u ~ U[1, horizon - 1]``
    per unit, which keeps it for ``1 + u`` steps; bias of the gate that writes ``-b``, so that the
    unit's scale stays 1; ``rest`` draws the others (zeros). ``horizon`` in steps, at least 2.

    **Example**
    >>> import jax, jax.numpy as jnp
    >>> b = chrono(100.0)(jax.random.key(0), (1000,))
    >>> bool((b >= 0).all() and (b <= jnp.log(99.0) + 1e-5).all())
    True
    """

    horizon: Real
    rest: Callable[..., Array] = zeros()

    def __post_init__(self):
        set_real(self, "horizon", 2.0)

    def __call__(
        self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
    ) -> Float[Array, "..."]:
        """The array of this shape."""
        return jnp.log(jr.uniform(key, shape, dtype, 1.0, self.horizon - 1.0))

    def gates(
        self, key: PRNGKeyArray, roles: Mapping[str, Role], size: int, dtype: Any = jnp.float32
    ) -> dict[str, Array]:
        """One bias vector a gate, by the gates' roles."""
        keep_key, *rest_keys = jr.split(key, len(roles) + 1)
        laws = self.laws(roles)
        # One key for both: the writing gate mirrors the keeping gate unit by unit.
        return {
            gate: laws[gate](rest_key if role == "other" else keep_key, (size,), dtype)
            for (gate, role), rest_key in zip(roles.items(), rest_keys, strict=True)
        }

    def laws(self, roles: Mapping[str, Role]) -> dict[str, Any]:
        """From which law each gate's bias is drawn."""
        by_role = {"keep": self, "write": opposite(self), "other": self.rest}
        return {gate: by_role[role] for gate, role in roles.items()}

    def entry_moments(self, shape: tuple[int, ...]) -> EntryMoments:
        """Mean and standard deviation of one entry."""
        last = self.horizon - 1.0
        if last == 1.0:
            return EntryMoments(0.0, 0.0)
        log = math.log(last)
        mean = (last * (log - 1) + 1) / (last - 1)
        square = (last * (log**2 - 2 * log + 2) - 2) / (last - 1)
        return EntryMoments(mean, math.sqrt(max(square - mean**2, 0.0)))
