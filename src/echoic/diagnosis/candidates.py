"""The built-in networks that a signal is tried on when the user brings none."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.random as jr

from echoic import cells, init
from echoic.core.cell import AbstractCell
from echoic.core.checks import one_of

Builder = Callable[..., AbstractCell]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A kind of network: what it is called, and how one is built for a wanted horizon.

    ``build(input_size, hidden_size, horizon, *, key)`` returns a cell. ``even`` families turn pairs
    of units; an odd number of units is rounded down for them.
    """

    name: str
    cell: str
    init: str
    description: str
    build: Builder
    state_per_unit: int = 1
    even: bool = False
    snippets: tuple[tuple[str, str], ...] = ()

    def snippet_texts(self, input_size: int, hidden_size: int, horizon: int) -> dict[str, str]:
        """The snippets that build this network, with sizes and horizon filled in."""
        decay, sigma = residual_scales(horizon)
        values = {"m": input_size, "n": hidden_size, "horizon": max(horizon, 3)}
        values |= {"decay": f"{decay:.6g}", "sigma": f"{sigma:.3g}"}
        return {name: text.format(**values) for name, text in self.snippets}


def gaussian_input(hidden_size: int) -> Any:
    """Input weights of standard deviation 0.9/sqrt(n): the normal nets of Orhan & Pitkow (2020)."""
    return init.normal(0.9 / math.sqrt(hidden_size))


def _elman(recurrent: Any, source: bool = False) -> Builder:
    def build(m: int, n: int, horizon: int, *, key: jax.Array) -> AbstractCell:
        return cells.Elman(
            m,
            n,
            recurrent=recurrent,
            input=init.source(0.9) if source else gaussian_input(n),
            bias=init.zeros(),
            key=key,
        )

    return build


def _torch_elman(m: int, n: int, horizon: int, *, key: jax.Array) -> AbstractCell:
    return cells.Elman(m, n, key=key)


def _torch_lstm(m: int, n: int, horizon: int, *, key: jax.Array) -> AbstractCell:
    return cells.LSTM(m, n, key=key)


def _chrono_lstm(m: int, n: int, horizon: int, *, key: jax.Array) -> AbstractCell:
    return cells.LSTM(m, n, bias=init.chrono(max(horizon, 3)), key=key)


def _chrono_gru(m: int, n: int, horizon: int, *, key: jax.Array) -> AbstractCell:
    return cells.GRU(m, n, bias=init.chrono(max(horizon, 3)), key=key)


def _chrono_minimal(m: int, n: int, horizon: int, *, key: jax.Array) -> AbstractCell:
    return cells.MinimalRNN(m, n, bias=init.chrono(max(horizon, 3)), key=key)


COUPLING = 0.1


def residual_scales(horizon: int) -> tuple[float, float]:
    """The decay per step that leaves 1/e at the horizon, and the spread of the coupled weights.

    The coupled part may move an eigenvalue by coupling * ||W||, about 2 sigma coupling. It is held
    to a tenth of the gap 1 - decay, else the slowest modes drift into saturation and forget.
    """
    decay = math.exp(-1.0 / horizon)
    return decay, min(1.0, 0.1 * (1.0 - decay) / (2 * COUPLING))


def _residual(heterogeneous: bool) -> Builder:
    def build(m: int, n: int, horizon: int, *, key: jax.Array) -> AbstractCell:
        decay, sigma = residual_scales(horizon)
        family = (
            init.heterogeneous(tau_min=horizon / 4, tau_max=4.0 * horizon)
            if heterogeneous
            else init.identity(decay)
        )
        return cells.Residual(
            m, n, residual=family, coupling=COUPLING, recurrent=init.gaussian(sigma), key=key
        )

    return build


_JAX = "cell = echoic.cells.{cls}({{m}}, {{n}}, {args}key=key)"
_TORCH_RNN = """\
rnn = torch.nn.RNN({{m}}, {{n}}, batch_first=True)
with torch.no_grad():
    {recurrent}
    {input}
    rnn.bias_ih_l0.zero_()
    rnn.bias_hh_l0.zero_()"""
_TORCH_NORMAL = "torch.nn.init.normal_(rnn.weight_ih_l0, std=0.9 / {n} ** 0.5)"
_TORCH_SOURCE = "rnn.weight_ih_l0.zero_().fill_diagonal_(0.9)"
_TORCH_CHRONO_LSTM = """\
lstm = torch.nn.LSTM({m}, {n}, batch_first=True)
with torch.no_grad():                      # rows: input, forget, cell, output gate
    forget = torch.empty({n}).uniform_(1, {horizon} - 1).log()
    lstm.bias_hh_l0.zero_()
    lstm.bias_ih_l0.zero_()
    lstm.bias_ih_l0[:{n}] = -forget
    lstm.bias_ih_l0[{n} : 2 * {n}] = forget"""
_TORCH_CHRONO_GRU = """\
gru = torch.nn.GRU({m}, {n}, batch_first=True)
with torch.no_grad():                      # rows: reset, update, new; update keeps the old state
    gru.bias_hh_l0.zero_()
    gru.bias_ih_l0.zero_()
    gru.bias_ih_l0[{n} : 2 * {n}] = torch.empty({n}).uniform_(1, {horizon} - 1).log()"""


def _snippets(cls: str, args: str, torch: str | None) -> tuple[tuple[str, str], ...]:
    text = _JAX.format(cls=cls, args=args).replace("{{", "{").replace("}}", "}")
    pairs = [("JAX", "import echoic\n" + text)]
    if torch is not None:
        pairs.append(("PyTorch", "import torch\n" + torch))
    return tuple(pairs)


def _torch_rnn(recurrent: str, input: str) -> str:
    text = _TORCH_RNN.replace("{{", "{").replace("}}", "}")
    return text.replace("{recurrent}", recurrent).replace("{input}", input)


_GAUSSIAN = "input=echoic.init.normal(0.9 / {n} ** 0.5), bias=echoic.init.zeros(), "
_SOURCE = "input=echoic.init.source(0.9), bias=echoic.init.zeros(), "

CANDIDATES: tuple[Candidate, ...] = (
    Candidate(
        "Elman, torch default",
        "elman",
        "default",
        "tanh Elman network as torch.nn.RNN draws it",
        _torch_elman,
        1,
        snippets=_snippets("Elman", "", "rnn = torch.nn.RNN({m}, {n}, batch_first=True)"),
    ),
    Candidate(
        "Elman, orthogonal",
        "elman",
        "orthogonal",
        "tanh Elman network, random orthogonal recurrent weight",
        _elman(init.orthogonal(1.0)),
        1,
        snippets=_snippets(
            "Elman",
            "recurrent=echoic.init.orthogonal(1.0), " + _GAUSSIAN,
            _torch_rnn("torch.nn.init.orthogonal_(rnn.weight_hh_l0)", _TORCH_NORMAL),
        ),
    ),
    Candidate(
        "Elman, identity",
        "elman",
        "identity",
        "tanh Elman network, recurrent weight 1",
        _elman(init.identity(1.0)),
        1,
        snippets=_snippets(
            "Elman",
            "recurrent=echoic.init.identity(1.0), " + _GAUSSIAN,
            _torch_rnn("torch.nn.init.eye_(rnn.weight_hh_l0)", _TORCH_NORMAL),
        ),
    ),
    Candidate(
        "Elman, chain",
        "elman",
        "chain",
        "tanh Elman network, a delay line of gain 1.02 fed at its source (Orhan & Pitkow 2020)",
        _elman(init.chain(1.02), source=True),
        1,
        snippets=_snippets(
            "Elman",
            "recurrent=echoic.init.chain(1.02), " + _SOURCE,
            _torch_rnn(
                "rnn.weight_hh_l0.copy_(1.02 * torch.eye({n}).roll(1, 0).tril(-1))", _TORCH_SOURCE
            ),
        ),
    ),
    Candidate(
        "Elman, feedback chain",
        "elman",
        "feedback_chain",
        "tanh Elman network, a delay line 0.99 with feedback 0.04 (Orhan & Pitkow 2020)",
        _elman(init.feedback_chain(0.99, 0.04), source=True),
        1,
        snippets=_snippets(
            "Elman",
            "recurrent=echoic.init.feedback_chain(0.99, 0.04), " + _SOURCE,
            _torch_rnn(
                "rnn.weight_hh_l0.copy_(0.99 * torch.ones({n} - 1).diag(-1)"
                " + 0.04 * torch.ones({n} - 1).diag(1))",
                _TORCH_SOURCE,
            ),
        ),
    ),
    Candidate(
        "LSTM, torch default",
        "lstm",
        "default",
        "LSTM as torch.nn.LSTM draws it",
        _torch_lstm,
        2,
        snippets=_snippets("LSTM", "", "lstm = torch.nn.LSTM({m}, {n}, batch_first=True)"),
    ),
    Candidate(
        "LSTM, chrono",
        "lstm",
        "chrono",
        "LSTM with gate biases spread up to the horizon (Tallec & Ollivier 2018)",
        _chrono_lstm,
        2,
        snippets=_snippets("LSTM", "bias=echoic.init.chrono({horizon}), ", _TORCH_CHRONO_LSTM),
    ),
    Candidate(
        "GRU, chrono",
        "gru",
        "chrono",
        "GRU with update biases spread up to the horizon (Tallec & Ollivier 2018)",
        _chrono_gru,
        1,
        snippets=_snippets("GRU", "bias=echoic.init.chrono({horizon}), ", _TORCH_CHRONO_GRU),
    ),
    Candidate(
        "minimalRNN, chrono",
        "minimal_rnn",
        "chrono",
        "minimalRNN with gate biases spread up to the horizon",
        _chrono_minimal,
        1,
        snippets=_snippets("MinimalRNN", "bias=echoic.init.chrono({horizon}), ", None),
    ),
    Candidate(
        "residual, one time constant",
        "residual",
        "homogeneous",
        "weakly coupled residual RNN, every unit decays over the horizon",
        _residual(heterogeneous=False),
        1,
        snippets=_snippets(
            "Residual",
            "residual=echoic.init.identity({decay}), coupling=0.1, "
            "recurrent=echoic.init.gaussian({sigma}), ",
            None,
        ),
    ),
    Candidate(
        "residual, heterogeneous",
        "residual",
        "heterogeneous",
        "weakly coupled residual RNN, time constants and rotation angles spread",
        _residual(heterogeneous=True),
        1,
        even=True,
        snippets=_snippets(
            "Residual",
            "residual=echoic.init.heterogeneous(4 * {horizon}, {horizon} / 4), coupling=0.1, "
            "recurrent=echoic.init.gaussian({sigma}), ",
            None,
        ),
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
