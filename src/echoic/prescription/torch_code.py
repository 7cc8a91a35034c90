"""The PyTorch code of a network: its module, and one statement an initialiser."""

import inspect
import math
import textwrap
from collections.abc import Mapping
from typing import Any

from echoic import cells, init
from echoic.cells import gru, lstm
from echoic.init.gates import Role

_MINIMAL = """\
import torch


class MinimalRNN(torch.nn.Module):
    def __init__(self, m, n):
        super().__init__()
        self.embed = torch.nn.Linear(m, n)
        self.gate_h = torch.nn.Linear(n, n, bias=False)
        self.gate_z = torch.nn.Linear(n, n)

    def forward(self, xs):  # (batch, time, m)
        zs = {embedded}
        h, states = torch.zeros_like(zs[:, 0]), []
        for z, drive in zip(zs.unbind(1), self.gate_z(zs).unbind(1)):
            u = torch.sigmoid(self.gate_h(h) + drive)
            h = u * h + (1 - u) * z
            states.append(h)
        return torch.stack(states, 1), h


rnn = MinimalRNN({m}, {n})
"""
_RESIDUAL = """\
import math
import torch


class Residual(torch.nn.Module):
    def __init__(self, m, n):
        super().__init__()
        self.coupled = torch.nn.Linear(n, n, bias=False)
        self.input = torch.nn.Linear(m, n)
{spectrum}
        self.register_buffer("decay", decay)  # buffers: the residual path is not trained
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, xs):  # (batch, time, m)
        x, states = xs.new_zeros(len(xs), len(self.decay)), []
        pairs = 2 * len(self.cos)
        for drive in self.input(xs).unbind(1):
            a, b = x[:, 0:pairs:2], x[:, 1:pairs:2]
            turned = torch.stack([self.cos * a - self.sin * b, self.sin * a + self.cos * b], -1)
            carried = self.decay * torch.cat([turned.flatten(1), x[:, pairs:]], 1)
            x = {path} + {coupling} * torch.tanh(self.coupled(x) + drive)
            states.append(x)
        return torch.stack(states, 1), x


rnn = Residual({m}, {n})
"""
_LINEAR = """\
import torch


class LinearRNN(torch.nn.Module):
    def __init__(self, m, n):
        super().__init__()
        self.recurrent = torch.nn.Linear(n, n, bias=False)
        self.input = torch.nn.Linear(m, n, bias=False)

    def forward(self, xs):  # (batch, time, m)
        h, states = xs.new_zeros(len(xs), self.recurrent.weight.shape[0]), []
        for drive in self.input(xs).unbind(1):
            h = {scale}self.recurrent(h) + drive
            states.append(h)
        return torch.stack(states, 1), h


rnn = LinearRNN({m}, {n})
"""


def torch_code(cell: str, arguments: Mapping[str, Any], m: int, n: int) -> str | None:
    """The code that builds the network in PyTorch; None for a cell or law that has none here."""
    try:
        return _MODULES[cell](dict(arguments), m, n) if cell in _MODULES else None
    except _NoCodeError:
        return None


class _NoCodeError(Exception):
    """A law that is not written in PyTorch here."""


def _elman(arguments: dict[str, Any], m: int, n: int) -> str:
    activation = arguments.get("activation", "tanh")
    if activation not in ("tanh", "relu"):
        raise _NoCodeError
    other = "" if activation == "tanh" else ', nonlinearity="relu"'
    lines = []
    if "recurrent" in arguments:
        lines += fill("rnn.weight_hh_l0", arguments["recurrent"], n, n)
    if "input" in arguments:
        lines += fill("rnn.weight_ih_l0", arguments["input"], n, m)
    if "bias" in arguments:
        lines += fill("rnn.bias_ih_l0", arguments["bias"], n, 1)
        lines.append("rnn.bias_hh_l0.zero_()")
    return f"import torch\n\nrnn = torch.nn.RNN({m}, {n}, batch_first=True{other})\n" + _set(lines)


def _lstm(arguments: dict[str, Any], m: int, n: int) -> str:
    return _stacked("lstm", "LSTM", lstm.ROLES, arguments, m, n)


def _gru(arguments: dict[str, Any], m: int, n: int) -> str:
    return _stacked("gru", "GRU", gru.ROLES, arguments, m, n)


def _stacked(
    name: str, kind: str, roles: Mapping[str, Role], arguments: dict[str, Any], m: int, n: int
) -> str:
    """A module of PyTorch whose gates are blocks of rows, in the order of ours."""
    lines = []
    gates = tuple(roles)
    for argument, tensor, columns in (("recurrent", "hh", n), ("input", "ih", m)):
        laws = _by_gate(arguments.get(argument, {}), gates)
        for gate, law in laws.items():
            lines += fill(_rows(f"{name}.weight_{tensor}_l0", gates, gate, n), law, n, columns)
    bias = arguments.get("bias", {})
    if isinstance(bias, init.chrono):
        # One draw for both: the writing gate mirrors the keeping gate unit by unit.
        lines.append(f"keep = torch.empty({n}).uniform_(1, {_number(bias.horizon - 1)}).log()")
    biases = bias.laws(roles) if hasattr(bias, "laws") else _by_gate(bias, gates)
    for gate, law in biases.items():
        lines += fill(_rows(f"{name}.bias_ih_l0", gates, gate, n), law, n, 1)
        if kind == "LSTM" or gate != "n":
            lines.append(f"{_rows(f'{name}.bias_hh_l0', gates, gate, n)}.zero_()")
    if "candidate_bias" in arguments:
        target = _rows(f"{name}.bias_hh_l0", gates, "n", n)
        lines += fill(target, arguments["candidate_bias"], n, 1)
    order = ", ".join(gates)
    module = f"import torch\n\n{name} = torch.nn.{kind}({m}, {n}, batch_first=True)\n"
    return module + _set(lines, f"  # rows: {order}")


def _by_gate(laws: Any, gates: tuple[str, ...]) -> Mapping[str, Any]:
    return laws if isinstance(laws, Mapping) else dict.fromkeys(gates, laws)


def _rows(tensor: str, gates: tuple[str, ...], gate: str, n: int) -> str:
    first = gates.index(gate) * n
    return f"{tensor}[{first}:{first + n}]"


def _minimal(arguments: dict[str, Any], m: int, n: int) -> str:
    laws = _defaults("MinimalRNN") | arguments
    lines = [
        *fill("rnn.embed.weight", laws["embedding"], n, m),
        *fill("rnn.embed.bias", laws["embedding_bias"], n, 1),
        *fill("rnn.gate_h.weight", laws["recurrent"], n, n),
        *fill("rnn.gate_z.weight", laws["input"], n, n),
        *fill("rnn.gate_z.bias", laws["bias"], n, 1),
    ]
    tanh = laws["activation"] == "tanh"
    embedded = "torch.tanh(self.embed(xs))" if tanh else "self.embed(xs)"
    return _MINIMAL.format(m=m, n=n, embedded=embedded) + _set(lines)


def _residual(arguments: dict[str, Any], m: int, n: int) -> str:
    laws = _defaults("Residual") | arguments
    lines = [
        *fill("rnn.coupled.weight", laws["recurrent"], n, n),
        *fill("rnn.input.weight", laws["input"], n, m),
        *fill("rnn.input.bias", laws["bias"], n, 1),
    ]
    module = _RESIDUAL.format(
        m=m,
        n=n,
        spectrum=textwrap.indent("\n".join(_spectrum(laws["residual"])), " " * 8),
        path="carried" if laws["path"] == "linear" else "torch.tanh(carried)",
        coupling=_number(laws["coupling"]),
    )
    return module + _set(lines)


def _linear(arguments: dict[str, Any], m: int, n: int) -> str:
    laws = _defaults("LinearRNN") | arguments
    scaled = laws["parametrisation"] == "scaled"
    recurrent = laws["recurrent"] or (init.normal(0.9) if scaled else init.gaussian(0.9))
    lines = [
        *fill("rnn.recurrent.weight", recurrent, n, n),
        *fill("rnn.input.weight", laws["input"], n, m),
    ]
    scale = f"{n}**-0.5 * " if scaled else ""
    return _LINEAR.format(m=m, n=n, scale=scale) + _set(lines)


def _defaults(cell: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(cells, cell).__init__).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


def _spectrum(law: Any) -> list[str]:
    """Statements that set ``decay`` (n,) and ``angle`` (n // 2,) of a residual."""
    still = "angle = torch.zeros(n // 2)"
    if isinstance(law, init.identity):
        return [f"decay = torch.full((n,), {_number(law.gain)})", still]
    if isinstance(law, init.heterogeneous_decay):
        return [f"decay = (-1 / {_log_uniform('n', law)}).exp()", still]
    if isinstance(law, init.uniform_decay):
        return [
            f"decay = torch.empty(n).uniform_({_number(law.low)}, {_number(law.high)})",
            still,
        ]
    if isinstance(law, init.rotation):
        angle = 2 * math.pi / law.period if law.angle is None else law.angle  # pyright: ignore
        return [
            f"decay = torch.full((n,), {_number(law.modulus)})",
            f"angle = torch.full((n // 2,), {_number(angle)})",
        ]
    if isinstance(law, init.heterogeneous_rotation | init.heterogeneous):
        spread = f"angle = torch.empty(n // 2).uniform_({_number(law.low)}, {_number(law.high)})"
        if isinstance(law, init.heterogeneous_rotation):
            return [f"decay = torch.full((n,), {_number(law.modulus)})", spread]
        tau = _log_uniform("n // 2", law)
        return [f"decay = (-1 / {tau}).exp().repeat_interleave(2)", spread]
    raise _NoCodeError


def _log_uniform(size: str, law: Any) -> str:
    low, high = _number(law.tau_min), _number(law.tau_max)
    return f"torch.empty({size}).uniform_(math.log({low}), math.log({high})).exp()"


def fill(target: str, law: Any, rows: int, columns: int) -> list[str]:
    """Statements that fill a tensor of ``rows`` (and ``columns``) by a law of ``echoic.init``."""
    if isinstance(law, init.gaussian):
        std = law.sigma / math.sqrt(columns)
        return [f"torch.nn.init.normal_({target}, std={_number(std)})"]
    if isinstance(law, init.normal):
        return [f"torch.nn.init.normal_({target}, std={_number(law.std)})"]
    if isinstance(law, init.uniform):
        bound = _number(1 / math.sqrt(rows) if law.bound is None else law.bound)
        again = [f"{target}.add_(torch.empty_like({target}).uniform_(-{bound}, {bound}))"] * (
            law.terms - 1
        )
        return [f"torch.nn.init.uniform_({target}, -{bound}, {bound})", *again]
    if isinstance(law, init.zeros):
        return [f"{target}.zero_()"]
    if isinstance(law, init.constant | init.forget):
        return [f"{target}.fill_({_number(law.value)})"]
    if isinstance(law, init.chrono):
        # Alone on a bias of its own (minimalRNN), or after the line that draws ``keep``.
        alone = f"{target}.uniform_(1, {_number(law.horizon - 1)}).log_()"
        return [alone if "[" not in target else f"{target}.copy_(keep)"]
    if isinstance(law, init.opposite) and isinstance(law.of, init.chrono):
        return [f"{target}.copy_(-keep)"]
    return _matrix(target, law, rows)


def _matrix(target: str, law: Any, n: int) -> list[str]:
    if isinstance(law, init.orthogonal):
        return [f"torch.nn.init.orthogonal_({target}, gain={_number(law.gain)})"]
    if isinstance(law, init.identity):
        return [f"torch.nn.init.eye_({target}).mul_({_number(law.gain)})"]
    if isinstance(law, init.source):
        return [f"{target}.zero_().fill_diagonal_({_number(law.gain)})"]
    if isinstance(law, init.chain):
        return [f"{target}.copy_({_number(law.alpha)} * torch.ones({n - 1}).diag(-1))"]
    if isinstance(law, init.feedback_chain):
        forward = f"{_number(law.alpha)} * torch.ones({n - 1}).diag(-1)"
        back = f"{_number(law.beta)} * torch.ones({n - 1}).diag(1)"
        return [f"{target}.copy_({forward} + {back})"]
    if isinstance(law, init.weakly_coupled):
        noise = f"{_number(law.coupling / math.sqrt(n))} * torch.randn({n}, {n})"
        return [*_matrix(target, law.residual, n), f"{target}.add_({noise})"]
    raise _NoCodeError


def _set(lines: list[str], comment: str = "") -> str:
    if not lines:
        return ""
    return f"with torch.no_grad():{comment}\n" + textwrap.indent("\n".join(lines), "    ") + "\n"


def _number(value: float) -> str:
    return repr(float(f"{value:.9g}"))


_MODULES = {
    "Elman": _elman,
    "LSTM": _lstm,
    "GRU": _gru,
    "MinimalRNN": _minimal,
    "Residual": _residual,
    "LinearRNN": _linear,
}
