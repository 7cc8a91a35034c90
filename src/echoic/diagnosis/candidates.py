"""The built-in networks that a signal is tried on when the user brings none."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.random as jr

from echoic import init
from echoic.core.cell import AbstractCell
from echoic.core.checks import one_of
from echoic.prescription.recipe import Recipe

Recipes = Callable[[int, int], Recipe]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A kind of network: what it is called, and how one is built for a wanted horizon.

    ``recipe(hidden_size, horizon)`` says what to set. ``even`` families turn pairs of units; an odd
    number of units is rounded down for them.
    """

    name: str
    cell: str
    init: str
    description: str
    recipe: Recipes
    state_per_unit: int = 1
    even: bool = False

    def build(
        self, input_size: int, hidden_size: int, horizon: int, *, key: jax.Array
    ) -> AbstractCell:
        """A network of that kind."""
        return self.recipe(hidden_size, shortest_span(horizon)).build(
            input_size, hidden_size, key=key
        )

    def snippets(self, input_size: int, hidden_size: int, horizon: int) -> dict[str, str]:
        """The code that builds this network, by framework, sizes and horizon filled in."""
        recipe = self.recipe(hidden_size, shortest_span(horizon))
        return recipe.snippets(input_size, hidden_size)


def shortest_span(horizon: int) -> int:
    """The horizon that time constants are drawn for: 3 steps at least, to be a range at all."""
    return max(horizon, 3)


def gaussian_input(hidden_size: int) -> Any:
    """Input weights of standard deviation 0.9/sqrt(n): the normal nets of Orhan & Pitkow (2020)."""
    return init.normal(0.9 / math.sqrt(hidden_size))


def _default(cell: str) -> Recipes:
    return lambda n, horizon: Recipe(cell)


def _chrono(cell: str) -> Recipes:
    return lambda n, horizon: Recipe(cell, {"bias": init.chrono(horizon)})


def _elman(recurrent: Any, source: bool = False) -> Recipes:
    def recipe(n: int, horizon: int) -> Recipe:
        entrance = init.source(0.9) if source else gaussian_input(n)
        return Recipe("Elman", {"recurrent": recurrent, "input": entrance, "bias": init.zeros()})

    return recipe


COUPLING = 0.1


def residual_scales(horizon: int) -> tuple[float, float]:
    """The decay per step that leaves 1/e at the horizon, and the spread of the coupled weights.

    The coupled part may move an eigenvalue by coupling * ||W||, about 2 sigma coupling. It is held
    to a tenth of the gap 1 - decay, else the slowest modes drift into saturation and forget.
    """
    decay = math.exp(-1.0 / horizon)
    return decay, min(1.0, 0.1 * (1.0 - decay) / (2 * COUPLING))


def _residual(heterogeneous: bool) -> Recipes:
    def recipe(n: int, horizon: int) -> Recipe:
        decay, sigma = residual_scales(horizon)
        family = (
            init.heterogeneous(tau_min=horizon / 4, tau_max=4 * horizon)
            if heterogeneous
            else init.identity(decay)
        )
        return Recipe(
            "Residual",
            {
                "residual": family,
                "coupling": COUPLING,
                "recurrent": init.gaussian(sigma),
                "bias": init.zeros(),
            },
        )

    return recipe


CANDIDATES: tuple[Candidate, ...] = (
    Candidate(
        "Elman, torch default",
        "elman",
        "default",
        "tanh Elman network as torch.nn.RNN draws it",
        _default("Elman"),
        1,
    ),
    Candidate(
        "Elman, orthogonal",
        "elman",
        "orthogonal",
        "tanh Elman network, random orthogonal recurrent weight",
        _elman(init.orthogonal(1.0)),
        1,
    ),
    Candidate(
        "Elman, identity",
        "elman",
        "identity",
        "tanh Elman network, recurrent weight 1",
        _elman(init.identity(1.0)),
        1,
    ),
    Candidate(
        "Elman, chain",
        "elman",
        "chain",
        "tanh Elman network, a delay line of gain 1.02 fed at its source (Orhan & Pitkow 2020)",
        _elman(init.chain(1.02), source=True),
        1,
    ),
    Candidate(
        "Elman, feedback chain",
        "elman",
        "feedback_chain",
        "tanh Elman network, a delay line 0.99 with feedback 0.04 (Orhan & Pitkow 2020)",
        _elman(init.feedback_chain(0.99, 0.04), source=True),
        1,
    ),
    Candidate(
        "LSTM, torch default",
        "lstm",
        "default",
        "LSTM as torch.nn.LSTM draws it",
        _default("LSTM"),
        2,
    ),
    Candidate(
        "LSTM, chrono",
        "lstm",
        "chrono",
        "LSTM with gate biases spread up to the horizon (Tallec & Ollivier 2018)",
        _chrono("LSTM"),
        2,
    ),
    Candidate(
        "GRU, chrono",
        "gru",
        "chrono",
        "GRU with update biases spread up to the horizon (Tallec & Ollivier 2018)",
        _chrono("GRU"),
        1,
    ),
    Candidate(
        "minimalRNN, chrono",
        "minimal_rnn",
        "chrono",
        "minimalRNN with gate biases spread up to the horizon",
        _chrono("MinimalRNN"),
        1,
    ),
    Candidate(
        "residual, one time constant",
        "residual",
        "homogeneous",
        "weakly coupled residual RNN, every unit decays over the horizon",
        _residual(heterogeneous=False),
        1,
    ),
    Candidate(
        "residual, heterogeneous",
        "residual",
        "heterogeneous",
        "weakly coupled residual RNN, time constants and rotation angles spread",
        _residual(heterogeneous=True),
        1,
        even=True,
    ),
)


def select(
    cell: Iterable[str] | None = None, init: Iterable[str] | None = None
) -> tuple[Candidate, ...]:
    """The candidates of the named cell families and initialisations; all of them for None."""
    chosen = CANDIDATES
    if cell is not None:
        families = list(dict.fromkeys(c.cell for c in CANDIDATES))
        wanted = {one_of("cell", name, families) for name in cell}
        chosen = tuple(c for c in chosen if c.cell in wanted)
    if init is not None:
        wanted = {one_of("init", name, dict.fromkeys(c.init for c in CANDIDATES)) for name in init}
        kept = tuple(c for c in chosen if c.init in wanted)
        if not kept:
            there = ", ".join(f"{c.cell}/{c.init}" for c in chosen)
            raise ValueError(
                f"no candidate has that combination of cell and init; there are: {there}."
            )
        chosen = kept
    return chosen


def sized(candidate: Candidate, input_size: int, hidden_size: int, horizon: int, equal: str) -> int:
    """The number of units that makes a candidate equal to an Elman network of ``hidden_size``.

    Equal in units, in floating numbers of state, or in parameters (as near as whole units allow).
    """
    one_of("equal", equal, ("units", "parameters", "state"))
    if equal == "units":
        units = hidden_size
    elif equal == "state":
        units = hidden_size // candidate.state_per_unit
    else:
        units = _units_with_parameters(candidate, input_size, hidden_size, horizon)
    step = 2 if candidate.even else 1
    return max(step, units // step * step)


def _units_with_parameters(
    candidate: Candidate, input_size: int, hidden_size: int, horizon: int
) -> int:
    """The largest number of units with no more parameters than the Elman network."""
    step = 2 if candidate.even else 1
    target = _num_parameters(CANDIDATES[0], input_size, hidden_size, horizon)
    low, high = 1, hidden_size // step
    while low < high:
        middle = (low + high + 1) // 2
        if _num_parameters(candidate, input_size, middle * step, horizon) <= target:
            low = middle
        else:
            high = middle - 1
    return low * step


def _num_parameters(candidate: Candidate, input_size: int, hidden_size: int, horizon: int) -> int:
    def arrays(key: jax.Array) -> AbstractCell:
        return eqx.filter(
            candidate.build(input_size, hidden_size, horizon, key=key), eqx.is_inexact_array
        )

    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(arrays, jr.key(0))))
