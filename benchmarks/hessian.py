"""The largest Hessian eigenvalue of a recurrent network's cost, beside PyHessian.

Accuracy comes first: a time counts if the eigenvalue meets that of the dense Hessian within the
gate, relatively; there are two gates, as Lanczos and the power iteration of the peer converge at
different rates. An Elman network of 64 units with a linear readout that is held fixed, 50 steps, a
batch of 64, float32 on both sides; the smallest of several times, the first call (with its
compilation) apart. Each gets the loosest tolerance that passes.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import echoic
from benchmarks._timing import timed
from echoic.cells import Elman
from echoic.measure.costs.cost import flat_cost

GATES = (1e-3, 1e-5)
WANTED = 5
UNITS, LENGTH, BATCH = 64, 50, 64


def row(who: str, value: float, exact: float, seconds: float, first: float, gate: float) -> bool:
    error = abs(value / exact - 1)
    verdict = "" if error < gate else "  FAILS THE GATE"
    print(
        f"{who:28s} {value:.7f}  error {error:8.1e}  {seconds * 1e3:9.1f} ms"
        f"  (first {first:5.2f} s){verdict}"
    )
    return error < gate


def problem() -> tuple[Elman, jax.Array, jax.Array, jax.Array]:
    cell = Elman(1, UNITS, key=jr.key(0))
    xs = jr.normal(jr.key(1), (BATCH, LENGTH, 1))
    weight = jr.normal(jr.key(2), (1, UNITS)) / UNITS**0.5
    return cell, weight, xs, jr.normal(jr.key(3), (BATCH, LENGTH, 1))


def exact_eigenvalue(cell, cost) -> float:
    """Of the dense Hessian, its columns by products in float32, its spectrum by LAPACK."""
    vector, function = flat_cost(cost, cell)
    push = jax.jit(jax.linearize(jax.grad(function), vector)[1])
    columns = np.asarray(jax.lax.map(push, jnp.eye(vector.size), batch_size=64), np.float64)
    return float(np.linalg.eigvalsh(0.5 * (columns + columns.T))[-1])


def peer(cell, weight, xs, ys) -> Any:
    """PyHessian on the same network in PyTorch. Of its two biases the second is held at zero."""
    import torch
    from pyhessian import hessian

    def tensor(array):
        return torch.tensor(np.asarray(array))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(1, UNITS, batch_first=True)
            with torch.no_grad():
                self.rnn.weight_hh_l0.copy_(tensor(cell.recurrent))
                self.rnn.weight_ih_l0.copy_(tensor(cell.input))
                self.rnn.bias_ih_l0.copy_(tensor(cell.bias))
                self.rnn.bias_hh_l0.zero_()
            self.rnn.bias_hh_l0.requires_grad_(False)

        def forward(self, xs):
            return self.rnn(xs)[0] @ tensor(weight).T

    torch.manual_seed(0)
    found = hessian(Model(), torch.nn.MSELoss(), data=(tensor(xs), tensor(ys)), cuda=False)
    return lambda tolerance: found.eigenvalues(maxIter=500, tol=tolerance, top_n=1)[0][0]


def main() -> None:
    """Print the table."""
    print(__doc__)
    cell, weight, xs, ys = problem()

    def readout(outputs):
        return outputs @ weight.T

    cost = echoic.mean_squared_cost(readout, xs, ys)
    exact = exact_eigenvalue(cell, cost)

    def ours(tolerance):
        found = echoic.hessian_eigenvalues(
            cell, cost, key=jr.key(4), tolerance=tolerance, ends="largest"
        )
        return float(found.value[0])

    ways: dict[str, Callable[[float], float]] = {"echoic": ours}
    with contextlib.suppress(ImportError):
        ways["PyHessian"] = peer(cell, weight, xs, ys)
    for gate in GATES:
        print(f"within {gate:g}")
        times = {who: fastest(who, way, exact, gate) for who, way in ways.items()}
        if "PyHessian" not in times:
            print("PyHessian is not installed: pip install 'echoic[bench]'")
        else:
            print(f"ratio {times['PyHessian'] / times['echoic']:.2f}, wanted {WANTED}\n")


def fastest(who: str, way: Callable[[float], float], exact: float, gate: float) -> float:
    """The time at the loosest tolerance that passes the gate; NaN if none does."""
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
        value, first, best = timed(lambda tolerance=tolerance: way(tolerance), 3)
        if row(f"{who}, tolerance {tolerance:g}", value, exact, best, first, gate):
            return best
    return float("nan")


if __name__ == "__main__":
    main()
