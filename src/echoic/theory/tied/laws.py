"""From the law that a cell's weights were drawn from to the law of one unit."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PRNGKeyArray

from echoic import init
from echoic.core.cell import Law
from echoic.core.checks import at_least
from echoic.theory.tied.gated import GRU, LSTM, ResetBeforeGRU
from echoic.theory.tied.units import Minimal, Residual, Unit, Vanilla


class NoTheory(ValueError):
    """Weights of this law are outside the theory of tied Gaussian matrices."""


def unit_of(
    law: Law,
    *,
    input_size: int,
    hidden_size: int,
    units: int,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> Unit:
    """The unit whose population stands for networks drawn from ``law``.

    Recurrent matrices must have independent entries of mean zero (Gaussian, uniform: all the same
    at large n), or be orthogonal; plain networks may have a diagonal or turning part beside them
    (``identity``, ``weakly_coupled``). Biases and input weights may follow any law: it is drawn
    from ``units`` times, in portions of ``hidden_size``, of which its scale may depend. ``chrono``
    is taken at evenly spaced quantiles.

    **Arguments:**

    - ``law``: what ``cell.hyperparameters()`` gives, for echoic's own families.
    - ``input_size``, ``hidden_size``: m and n of the cell.
    - ``units``: how many samples M of the quenched numbers, a multiple of the populations.
    - ``key``: draws them.

    **Raises:** NoTheory (a ValueError) for structured recurrent matrices (chains, cycles), for a
    ``source`` that feeds single units, and for families that are not known.

    **Example**
    >>> import jax
    >>> from echoic import cells
    >>> law = cells.LSTM(1, 8, bias=init.chrono(50.0), key=jax.random.key(0)).hyperparameters()
    >>> unit = unit_of(law, input_size=1, hidden_size=8, units=32, key=jax.random.key(1))
    >>> unit.bias.shape, bool(jnp.allclose(unit.sigma, 3**-0.5)), bool((unit.bias[1] >= 0).all())
    ((4, 32), True, True)
    """
    if law.family not in _FAMILIES:
        raise NoTheory(
            f"no theory of tied weights for {law.family}; known: {', '.join(_FAMILIES)}."
        )
    sampler = _Sampler(
        dict(law.parameters),
        at_least("input_size", input_size, 1),
        at_least("hidden_size", hidden_size, 1),
        at_least("units", units, 1),
        key,
        dtype,
    )
    return _FAMILIES[law.family](sampler)


class _Sampler:
    """Draws what the families ask for, each from a key of its own."""

    def __init__(self, laws: dict[str, Any], m: int, n: int, units: int, key: Any, dtype: Any):
        self.laws, self.m, self.n, self.units, self.dtype = laws, m, n, units, dtype
        self._key = key
        self._chrono: dict[Any, Array] = {}

    def key(self) -> PRNGKeyArray:
        self._key, new = jr.split(self._key)
        return new

    def sigma(self, *names: str, scale: float = 1.0) -> Array:
        """Standard deviations of entries, in units of ``1 / sqrt(n)``."""
        return jnp.array(
            [scale * _deviation(self.laws[name], self.n) for name in names], self.dtype
        )

    def vectors(self, *names: str) -> Array:
        return jnp.stack([self.vector(name) for name in names])

    def vector(self, name: str) -> Array:
        return self._vector(self.laws[name])

    def _vector(self, law: Any) -> Array:
        if isinstance(law, init.opposite):
            return -self._vector(law.of)
        if isinstance(law, init.chrono):
            if law not in self._chrono:
                self._chrono[law] = self._quantiles(law)
            return self._chrono[law]
        return self._portions(law, (self.n,))

    def _quantiles(self, law: init.chrono) -> Array:
        level = (jnp.arange(self.units, dtype=self.dtype) + 0.5) / self.units
        return jr.permutation(self.key(), jnp.log(1 + level * (law.horizon - 2)))

    def matrices(self, *names: str) -> Array:
        """Input weights."""
        for name in names:
            if isinstance(self.laws[name], init.source):
                raise NoTheory(
                    "a source feeds single units of a network: no theory of large populations."
                )
        return jnp.stack([self._portions(self.laws[name], (self.n, self.m)) for name in names])

    def _portions(self, law: Any, shape: tuple[int, ...]) -> Array:
        """``units`` rows, drawn as a network of n units would."""
        number = -(-self.units // self.n)
        rows = [law(key, shape, self.dtype) for key in jr.split(self.key(), number)]
        return jnp.concatenate(rows)[: self.units]

    def spectrum(self, law: Any) -> tuple[Array, Array | None]:
        """Moduli and angles of a residual path; None where nothing turns."""
        drawn = law.spectrum(self.key(), self.units, self.dtype)
        return drawn.moduli, None if bool(jnp.all(drawn.angles == 0)) else drawn.angles


def _deviation(law: Any, n: int) -> float:
    if isinstance(law, init.orthogonal):
        return abs(law.gain)
    moments = law.entry_moments((n, n)) if hasattr(law, "entry_moments") else None
    if moments is None or moments.mean != 0:
        raise NoTheory(
            "recurrent weights must have independent entries of mean zero, or be orthogonal, got"
            f" {law!r}."
        )
    return moments.std * math.sqrt(n)


def _vanilla(sampler: _Sampler) -> Vanilla:
    recurrent, own = sampler.laws["recurrent"], None
    if isinstance(recurrent, init.weakly_coupled):
        sampler.laws["recurrent"], own = init.gaussian(recurrent.coupling), recurrent.residual
    elif hasattr(recurrent, "spectrum"):
        sampler.laws["recurrent"], own = init.zeros(), recurrent
    if own is not None and not hasattr(own, "spectrum"):
        raise NoTheory(f"the residual matrix must be diagonal or turn pairs of units, got {own!r}.")
    moduli, angles = (None, None) if own is None else sampler.spectrum(own)
    return Vanilla(
        sigma=sampler.sigma("recurrent"),
        bias=sampler.vectors("bias"),
        input=sampler.matrices("input"),
        self_coupling=moduli,
        angles=angles,
        activation=sampler.laws["activation"],
    )


def _linear(sampler: _Sampler) -> Vanilla:
    scaled = sampler.laws["parametrisation"] == "scaled"
    sampler.laws |= {"activation": "identity", "bias": init.zeros()}
    unit = _vanilla(sampler)
    if not scaled:
        return unit
    if unit.self_coupling is not None:
        raise NoTheory("a diagonal part in the scaled form of a linear network shrinks with n.")
    sigma = sampler.sigma("recurrent", scale=sampler.n**-0.5)
    return Vanilla(sigma=sigma, bias=unit.bias, input=unit.input, activation="identity")


def _residual(sampler: _Sampler) -> Residual:
    moduli, angles = sampler.spectrum(sampler.laws["residual"])
    return Residual(
        sigma=sampler.sigma("recurrent"),
        bias=sampler.vectors("bias"),
        input=sampler.matrices("input"),
        moduli=moduli,
        angles=angles,
        coupling=jnp.asarray(sampler.laws["coupling"], sampler.dtype),
        path=sampler.laws["path"],
    )


def _minimal(sampler: _Sampler) -> Minimal:
    return Minimal(
        sigma=sampler.sigma("recurrent", "input"),
        bias=sampler.vectors("bias"),
        input=sampler.matrices("embedding"),
        embedding_bias=sampler.vector("embedding_bias"),
        activation=sampler.laws["activation"],
    )


def _gated(sampler: _Sampler, gates: str) -> dict[str, Any]:
    return {
        "sigma": sampler.sigma(*(f"recurrent.{gate}" for gate in gates)),
        "bias": sampler.vectors(*(f"bias.{gate}" for gate in gates)),
        "input": sampler.matrices(*(f"input.{gate}" for gate in gates)),
    }


def _peephole(sampler: _Sampler) -> LSTM:
    peephole = sampler.vectors(*(f"peephole.{gate}" for gate in "ifo"))
    return LSTM(**_gated(sampler, "ifgo"), peephole=peephole)


_FAMILIES: dict[str, Callable[[_Sampler], Unit]] = {
    "Elman": _vanilla,
    "LinearRNN": _linear,
    "Residual": _residual,
    "MinimalRNN": _minimal,
    "GRU": lambda s: GRU(**_gated(s, "rzn"), candidate_bias=s.vector("candidate_bias")),
    "ResetBeforeGRU": lambda s: ResetBeforeGRU(**_gated(s, "rzn")),
    "LSTM": lambda s: LSTM(**_gated(s, "ifgo")),
    "PeepholeLSTM": _peephole,
    "FullPeepholeLSTM": lambda s: LSTM(**_gated(s, "ifgo"), reads="c"),
}
