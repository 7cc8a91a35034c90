"""Code to copy: each built-in candidate in JAX and in PyTorch.

``$m`` channels, ``$n`` units, ``$horizon``, and for the residual networks the ``$decay`` a step,
the ``$coupling`` and the spread ``$sigma`` of the coupled weights.
"""

import string
from typing import Any

_ELMAN = """\
import torch

rnn = torch.nn.RNN($m, $n, batch_first=True)
with torch.no_grad():
    {recurrent}
    {input}
    rnn.bias_ih_l0.zero_()
    rnn.bias_hh_l0.zero_()
"""
_NORMAL = "torch.nn.init.normal_(rnn.weight_ih_l0, std=0.9 / $n ** 0.5)"
_SOURCE = "rnn.weight_ih_l0.zero_().fill_diagonal_(0.9)"

_CHRONO_LSTM = """\
import torch

lstm = torch.nn.LSTM($m, $n, batch_first=True)
with torch.no_grad():  # rows: input, forget, cell, output gate
    forget = torch.empty($n).uniform_(1, $horizon - 1).log()
    lstm.bias_hh_l0.zero_()
    lstm.bias_ih_l0.zero_()
    lstm.bias_ih_l0[:$n] = -forget
    lstm.bias_ih_l0[$n : 2 * $n] = forget
"""
_CHRONO_GRU = """\
import torch

gru = torch.nn.GRU($m, $n, batch_first=True)
with torch.no_grad():  # rows: reset, update, new; the update gate keeps the old state
    gru.bias_hh_l0.zero_()
    gru.bias_ih_l0.zero_()
    gru.bias_ih_l0[$n : 2 * $n] = torch.empty($n).uniform_(1, $horizon - 1).log()
"""
_MINIMAL = """\
import torch


class MinimalRNN(torch.nn.Module):
    def __init__(self, m, n, horizon):
        super().__init__()
        bound = n**-0.5
        self.embed = torch.nn.Linear(m, n)
        self.gate_h = torch.nn.Linear(n, n, bias=False)
        self.gate_z = torch.nn.Linear(n, n)
        for weight in (self.embed.weight, self.gate_h.weight, self.gate_z.weight):
            torch.nn.init.uniform_(weight, -bound, bound)
        torch.nn.init.zeros_(self.embed.bias)
        with torch.no_grad():
            self.gate_z.bias.uniform_(1, horizon - 1).log_()

    def forward(self, xs):  # (batch, time, m)
        zs = torch.tanh(self.embed(xs))
        h, states = torch.zeros_like(zs[:, 0]), []
        for z, drive in zip(zs.unbind(1), self.gate_z(zs).unbind(1)):
            u = torch.sigmoid(self.gate_h(h) + drive)
            h = u * h + (1 - u) * z
            states.append(h)
        return torch.stack(states, 1), h


rnn = MinimalRNN($m, $n, $horizon)
"""
_RESIDUAL = """\
import math
import torch


class Residual(torch.nn.Module):
    def __init__(self, m, n):
        super().__init__()
        {residual}
        self.coupled = torch.nn.Linear(n, n, bias=False)
        self.input = torch.nn.Linear(m, n)
        torch.nn.init.normal_(self.coupled.weight, std=$sigma / n**0.5)
        torch.nn.init.uniform_(self.input.weight, -(n**-0.5), n**-0.5)
        torch.nn.init.zeros_(self.input.bias)
        self.register_buffer("decay", decay)  # buffers: the residual path is not trained
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, xs):  # (batch, time, m)
        x, states = xs.new_zeros(len(xs), len(self.decay)), []
        for drive in self.input(xs).unbind(1):
            a, b = x[:, 0::2], x[:, 1::2]
            turned = [self.cos * a - self.sin * b, self.sin * a + self.cos * b]
            carried = self.decay * torch.stack(turned, -1).flatten(1)
            x = carried + $coupling * torch.tanh(self.coupled(x) + drive)
            states.append(x)
        return torch.stack(states, 1), x


rnn = Residual($m, $n)
"""
_ONE_TIME = """\
decay = torch.full((n,), $decay)
        angle = torch.zeros(n // 2)"""
_MANY_TIMES = """\
tau = torch.empty(n // 2).uniform_(math.log($horizon / 4), math.log(4 * $horizon)).exp()
        decay = (-1 / tau).exp().repeat_interleave(2)
        angle = math.pi * torch.rand(n // 2)"""

_NORMAL_NET = "input=echoic.init.normal(0.9 / $n**0.5), bias=echoic.init.zeros(), "
_SOURCE_NET = "input=echoic.init.source(0.9), bias=echoic.init.zeros(), "


def _jax(cell: str, arguments: str) -> str:
    return f"import echoic\n\ncell = echoic.cells.{cell}($m, $n, {arguments}key=key)\n"


def _elman(arguments: str, recurrent: str, entrance: str) -> dict[str, str]:
    return {
        "JAX": _jax("Elman", arguments),
        "PyTorch": _ELMAN.format(recurrent=recurrent, input=entrance),
    }


_TEXTS: dict[tuple[str, str], dict[str, str]] = {
    ("elman", "default"): {
        "JAX": _jax("Elman", ""),
        "PyTorch": "import torch\n\nrnn = torch.nn.RNN($m, $n, batch_first=True)\n",
    },
    ("elman", "orthogonal"): _elman(
        "recurrent=echoic.init.orthogonal(1.0), " + _NORMAL_NET,
        "torch.nn.init.orthogonal_(rnn.weight_hh_l0)",
        _NORMAL,
    ),
    ("elman", "identity"): _elman(
        "recurrent=echoic.init.identity(1.0), " + _NORMAL_NET,
        "torch.nn.init.eye_(rnn.weight_hh_l0)",
        _NORMAL,
    ),
    ("elman", "chain"): _elman(
        "recurrent=echoic.init.chain(1.02), " + _SOURCE_NET,
        "rnn.weight_hh_l0.copy_(1.02 * torch.ones($n - 1).diag(-1))",
        _SOURCE,
    ),
    ("elman", "feedback_chain"): _elman(
        "recurrent=echoic.init.feedback_chain(0.99, 0.04), " + _SOURCE_NET,
        "rnn.weight_hh_l0.copy_("
        "0.99 * torch.ones($n - 1).diag(-1) + 0.04 * torch.ones($n - 1).diag(1))",
        _SOURCE,
    ),
    ("lstm", "default"): {
        "JAX": _jax("LSTM", ""),
        "PyTorch": "import torch\n\nlstm = torch.nn.LSTM($m, $n, batch_first=True)\n",
    },
    ("lstm", "chrono"): {
        "JAX": _jax("LSTM", "bias=echoic.init.chrono($horizon), "),
        "PyTorch": _CHRONO_LSTM,
    },
    ("gru", "chrono"): {
        "JAX": _jax("GRU", "bias=echoic.init.chrono($horizon), "),
        "PyTorch": _CHRONO_GRU,
    },
    ("minimal_rnn", "chrono"): {
        "JAX": _jax("MinimalRNN", "bias=echoic.init.chrono($horizon), "),
        "PyTorch": _MINIMAL,
    },
    ("residual", "homogeneous"): {
        "JAX": _jax(
            "Residual",
            "residual=echoic.init.identity($decay), coupling=$coupling,"
            " recurrent=echoic.init.gaussian($sigma), bias=echoic.init.zeros(), ",
        ),
        "PyTorch": _RESIDUAL.format(residual=_ONE_TIME),
    },
    ("residual", "heterogeneous"): {
        "JAX": _jax(
            "Residual",
            "residual=echoic.init.heterogeneous(4 * $horizon, $horizon / 4), coupling=$coupling,"
            " recurrent=echoic.init.gaussian($sigma), bias=echoic.init.zeros(), ",
        ),
        "PyTorch": _RESIDUAL.format(residual=_MANY_TIMES),
    },
}


def snippets(cell: str, init: str, **values: Any) -> dict[str, str]:
    """The code that builds a candidate, by framework."""
    return {
        framework: string.Template(text).substitute(values)
        for framework, text in _TEXTS[cell, init].items()
    }
