"""A training step, forward and gradient of a last-output loss, beside torch in the same process.

Every pair is first compared in float32: all gradients must agree to 1e-5 of the largest entry. The
repetitions of the two alternate, and the smallest time of each counts, so that a disturbance hits
both. The bound is what the three matrix products of a step take by themselves: ``W h`` and
``W' delta`` one step after the other, and the gradient of W as one product over all steps.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import torch

from echoic import cells, init
from echoic.cells import trainable_filter
from echoic.core.cell import AbstractCell, without_law
from echoic.core.rollout import rollout

TOLERANCE = 1e-5
# Weak, so that rounding is not amplified: at 0.1 over 784 steps the float32 gradients of either
# library are off by up to 2e-4 from those in float64, and agreement to the tolerance says nothing.
COUPLING = 0.01
CELLS = ("residual", "rotation", "elman", "gru", "lstm")


class Peer(NamedTuple):
    """A torch twin: its step, and its gradients under the names of the cell's fields."""

    step: Callable[[], None]
    gradients: Callable[[], dict[str, np.ndarray]]


def main(*arguments: str) -> None:
    """Print one line for each cell and size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks training_step")
    parser.add_argument("cells", nargs="*", default=[], help=f"of {', '.join(CELLS)}; all")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--steps", type=int, nargs="+", default=[200, 784])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.cells) - set(CELLS)
    if unknown:
        parser.error(f"unknown cells {sorted(unknown)}; valid: {', '.join(CELLS)}")
    torch.set_num_threads(chosen.threads)
    print(
        f"batch {chosen.batch}, float32, torch with {chosen.threads} threads; milliseconds;"
        " of bound: share of the step that the bare matrix products take\n"
        f"{'cell':9}{'n':>5}{'steps':>7}{'echoic':>9}{'torch':>9}{'ratio':>8}"
        f"{'bound':>9}{'of bound':>10}{'bound in torch':>16}{'deviation':>11}"
    )
    for name in chosen.cells or CELLS:
        for n in chosen.sizes:
            for steps in chosen.steps:
                print(compare(name, n, steps, chosen.batch, chosen.repeats), flush=True)


def compare(name: str, n: int, steps: int, batch: int, repeats: int) -> str:
    """Check one pair, time it, and describe the outcome in one line."""
    key = jax.random.key(0)
    xs = jax.random.normal(jax.random.key(1), (batch, steps, 1))
    cell = without_law(build(name, n, key))
    peer = MODULES[name](cell, xs) if name in MODULES else python_loop(cell, xs)
    trained, fixed = eqx.partition(cell, trainable_filter(cell))
    gradients = gradient(trained, fixed, xs)
    peer.step()
    deviation = max(
        np.abs(theirs - np.asarray(getattr(gradients, field))).max() / np.abs(theirs).max()
        for field, theirs in peer.gradients().items()
    )
    rows = cell.recurrent.shape[0]
    ours, theirs, bound, torch_bound = best_of(
        [
            lambda: jax.block_until_ready(gradient(trained, fixed, xs)),
            peer.step,
            bare_products(n, rows, steps, batch),
            bare_products_in_torch(n, rows, steps, batch),
        ],
        repeats,
    )
    line = f"{name:9}{n:5}{steps:7}{ours:9.1f}{theirs:9.1f}{theirs / ours:7.1f}x"
    line += f"{bound:9.1f}{bound / ours:9.0%} {torch_bound:16.1f}{deviation:11.0e}"
    return line if deviation < TOLERANCE else f"{name:9}{n:5}{steps:7}  WRONG by {deviation:.0e}"


def build(name: str, n: int, key: Any) -> AbstractCell:
    """The cell under test."""
    if name == "elman":
        return cells.Elman(1, n, key=key)
    if name == "gru":
        return cells.GRU(1, n, key=key)
    if name == "lstm":
        return cells.LSTM(1, n, key=key)
    if name == "residual":
        return cells.Residual(1, n, residual=init.identity(0.98), coupling=COUPLING, key=key)
    if name == "rotation":
        return cells.Residual(
            1, n, residual=init.rotation(0.98, period=28), coupling=COUPLING, key=key
        )
    raise ValueError(f"unknown cell {name!r}")


@eqx.filter_jit
@eqx.filter_grad
def gradient(trained: Any, fixed: Any, xs: Any) -> Any:
    """Of the mean square of the last output."""
    cell = eqx.combine(trained, fixed)
    return jnp.mean(jax.vmap(cell.output)(rollout(cell, xs, collect="nothing").final) ** 2)


def tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array))


def python_loop(cell: Any, xs: Any) -> Peer:
    """The residual cell in the usual torch way: a loop over time, left to autograd."""
    inputs = tensor(xs)
    weights = {f: tensor(getattr(cell, f)) for f in ("recurrent", "input", "bias")}
    for weight in weights.values():
        weight.requires_grad_()
    coupling, moduli, angles = tensor(cell.coupling), tensor(cell.moduli), tensor(cell.angles)
    cos, sin, turning = torch.cos(angles), torch.sin(angles), bool((angles != 0).any())

    def path(h):
        if not turning:
            return moduli * h
        first, second = h[:, 0::2], h[:, 1::2]
        turned = torch.stack((cos * first - sin * second, sin * first + cos * second), -1)
        return moduli * turned.reshape(h.shape)

    def step():
        for weight in weights.values():
            weight.grad = None
        h = torch.zeros(inputs.shape[0], cell.hidden_size)
        for x in inputs.unbind(1):
            driven = torch.nn.functional.linear(x, weights["input"], weights["bias"])
            driven = driven + torch.nn.functional.linear(h, weights["recurrent"])
            h = path(h) + coupling * torch.tanh(driven)
        (h**2).mean().backward()

    return Peer(step, lambda: {f: w.grad.numpy() for f, w in weights.items()})


def module(kind: Any) -> Callable[[Any, Any], Peer]:
    """A torch module of one layer with the weights of the cell."""

    def build_peer(cell: Any, xs: Any) -> Peer:
        net, inputs = kind(1, cell.hidden_size, batch_first=True), tensor(xs)
        names = {"recurrent": "weight_hh_l0", "input": "weight_ih_l0", "bias": "bias_ih_l0"}
        with torch.no_grad():
            net.bias_hh_l0.zero_()
            for field, theirs in names.items():
                getattr(net, theirs).copy_(tensor(getattr(cell, field)))
            if hasattr(cell, "candidate_bias"):
                net.bias_hh_l0[-cell.hidden_size :] = tensor(cell.candidate_bias)

        def step():
            net.zero_grad()
            outputs, _ = net(inputs)
            (outputs[:, -1] ** 2).mean().backward()

        return Peer(
            step, lambda: {f: getattr(net, theirs).grad.numpy() for f, theirs in names.items()}
        )

    return build_peer


MODULES = {
    "elman": module(torch.nn.RNN),
    "gru": module(torch.nn.GRU),
    "lstm": module(torch.nn.LSTM),
}


def bare_products(n: int, rows: int, steps: int, batch: int) -> Callable[[], Any]:
    """The three products of a training step in XLA, with nothing between them."""
    forth = jnp.full((n, rows), 1 / n)
    back = forth.T
    states, pulled = jnp.ones((steps, batch, n)), jnp.ones((steps, batch, rows))

    @jax.jit
    def run(forth, back, states, pulled):
        def repeat(weight, size):
            # The sum over blocks of columns makes a state of the product's size again.
            def step(h, _):
                return fold(h @ weight, size), None

            return jax.lax.scan(step, jnp.ones((batch, weight.shape[0])), length=steps)[0]

        def fold(product, size):
            return (
                product[:, :size]
                if product.shape[1] >= size
                else jnp.tile(product, (1, size // product.shape[1]))
            )

        contract = (((0, 1), (0, 1)), ((), ()))
        gradient = jax.lax.dot_general(pulled, states, contract)
        return repeat(forth, n), repeat(back, rows), gradient

    return lambda: jtu.tree_map(jax.block_until_ready, run(forth, back, states, pulled))


def bare_products_in_torch(n: int, rows: int, steps: int, batch: int) -> Callable[[], Any]:
    """The same three products in torch."""
    forth, h, delta = torch.full((n, rows), 1 / n), torch.ones(batch, n), torch.ones(batch, rows)
    states, pulled = torch.ones(steps * batch, n), torch.ones(steps * batch, rows)
    back = forth.T.contiguous()

    def run():
        with torch.no_grad():
            for _ in range(steps):
                h @ forth  # pyright: ignore
                delta @ back  # pyright: ignore
            return pulled.T @ states

    return run


def best_of(tasks: list[Callable[[], Any]], repeats: int) -> list[float]:
    """The smallest time of each task in milliseconds, the tasks taking turns."""
    times: list[list[float]] = [[] for _ in tasks]
    for task in tasks:
        task()
    for _ in range(repeats):
        for task, found in zip(tasks, times, strict=True):
            started = time.perf_counter()
            task()
            found.append(1e3 * (time.perf_counter() - started))
    return [min(found) for found in times]
