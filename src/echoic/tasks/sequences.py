"""What several tasks have in common: certain answers; checks, draws and odds of sets."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from echoic.core.checks import at_least
from echoic.core.task import Batch, Loss

# exp(-50) is far below the rounding of a loss, and no logit overflows.
CERTAIN = 50.0


def certain(classes: Int[Array, "*batch"], num_classes: int) -> Float[Array, "*batch p"]:
    """Logits of somebody who knows."""
    return CERTAIN * jax.nn.one_hot(classes, num_classes, dtype=jnp.float32)


def drawn(data: Batch, key: PRNGKeyArray, batch: int) -> Batch:
    """Sequences of a set, drawn with replacement."""
    total = data.inputs.shape[0]
    at_least("batch", batch, 1, total)
    rows = jr.randint(key, (batch,), 0, total, jnp.int32)
    return jtu.tree_map(lambda part: part[rows], data)


def checked(inputs: Any, targets: Any, weights: Any = None, *, what: str = "the set") -> Batch:
    """Arrays as a batch in float32 and int32, or an error that says what a network cannot use.

    **Raises** ValueError for wrong shapes, inputs and targets of unequal number or length, numbers
    that are not finite, and symbols or classes below 0.
    """
    inputs, targets = (
        numeric(f"the input of {what}", inputs),
        numeric(f"the target of {what}", targets),
    )
    if inputs.ndim != (2 if inputs.dtype.kind == "i" else 3) or 0 in inputs.shape:
        raise ValueError(
            f"inputs of {what} must be numbers (b, t, m), or symbols (b, t) as integers, got"
            f" {inputs.dtype} of shape {inputs.shape}."
        )
    classes = targets.dtype.kind == "i"
    if targets.ndim not in ((1, 2) if classes else (2, 3)) or 0 in targets.shape:
        raise ValueError(
            f"targets of {what} must be numbers (b, t, p) or (b, p), or classes (b, t) or (b,) as"
            f" integers, got {targets.dtype} of shape {targets.shape}."
        )
    (batch, length), last = inputs.shape[:2], asked_last(targets)
    if targets.shape[0] != batch:
        raise ValueError(f"{what} has {batch} inputs and {targets.shape[0]} targets.")
    if not last and targets.shape[1] != length:
        raise ValueError(
            f"{what} has inputs of {length} steps and targets of {targets.shape[1]}: they must be"
            " equally long, or targets given for the last step only, (b, p) or (b,)."
        )
    if not classes and targets.shape == (batch, length) and length > 1:
        raise ValueError(
            f"targets of {what} have shape {targets.shape}, as many as there are steps: write (b,"
            " t, 1) for one number a step."
        )
    if weights is not None:
        weights = numeric(f"the weight of {what}", weights).astype(np.float32)
        if weights.shape != (batch, length) or last:
            raise ValueError(
                f"weights of {what} have shape {(batch, length)} and go with targets at every step,"
                f" not at the last alone; got weights {weights.shape}, targets {targets.shape}."
            )
        if weights.min() < 0 or weights.sum() == 0:
            raise ValueError(f"weights of {what} must be 0 or more, and not all 0.")
    return jtu.tree_map(jnp.asarray, Batch(inputs, targets, weights))


def asked_last(targets: np.ndarray) -> bool:
    """Whether there are targets for the last step only: classes (b,), or numbers (b, p)."""
    return targets.ndim == (1 if targets.dtype.kind in "iub" else 2)


def numeric(what: str, values: Any) -> np.ndarray:
    """Float32, or int32 from 0 on."""
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        if array.size and array.min() < 0:
            raise ValueError(f"{what} holds integers below 0: {array.min()}.")
        return array.astype(np.int32)
    if array.dtype.kind != "f":
        raise ValueError(f"{what} must be real numbers, got dtype {array.dtype}.")
    refuse_not_finite(what, array)
    return array.astype(np.float32)


def refuse_not_finite(what: str, array: np.ndarray) -> None:
    """An error that names the first number that is none."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"{what} holds {len(bad)} numbers that are NaN or infinite, the first at"
            f" {tuple(map(int, bad[0]))}."
        )


def num_symbols(*parts: np.ndarray | Array) -> int:
    """One more than the largest integer."""
    return 1 + max(int(part.max()) for part in parts)


def constant_loss(data: Batch, loss: Loss) -> float:
    """What the best prediction costs that is the same for all targets of a set.

    The entropy of the classes in nats, or the variance of the numbers, averaged over outputs.
    """
    targets = np.asarray(data.targets)
    weights = np.ones(targets.shape[:2]) if data.weights is None else np.asarray(data.weights)
    if loss == "cross_entropy":
        weights = weights.reshape(-1)[: targets.size] if targets.ndim == 2 else None
        return entropy(np.bincount(targets.reshape(-1), weights))
    rows = targets.reshape(-1, targets.shape[-1]).astype(float)
    counts = weights.reshape(-1) if targets.ndim == 3 else np.ones(len(rows))
    mean = np.average(rows, axis=0, weights=counts)
    return float(np.average((rows - mean) ** 2, axis=0, weights=counts).mean())


def entropy(counts: Any) -> float:
    """``-sum p ln p`` of counts, in nats.

    **Example**
    >>> round(entropy([3, 0, 3]), 6)
    0.693147
    """
    shares = np.asarray(counts, float)
    shares = shares[shares > 0] / shares.sum()
    return float(-(shares * np.log(shares)).sum())


def padded(sequences: Sequence[np.ndarray], length: int | None = None) -> np.ndarray:
    """Sequences (t_i, m) of unequal length as one array (b, t, m), zeros before each.

    So that all of them end at the last step, where a network is asked.
    """
    length = max(map(len, sequences)) if length is None else length
    whole = np.zeros((len(sequences), length, sequences[0].shape[1]), np.float32)
    for row, sequence in zip(whole, sequences, strict=True):
        row[length - len(sequence) :] = sequence
    return whole


def parts_of(total: int, validation: int, test: int, seed: int) -> list[np.ndarray]:
    """Which of ``total`` sequences train, validate and test: a permutation, cut in three."""
    rest = total - validation - test
    if rest < 1:
        raise ValueError(
            f"{total} sequences leave none to train on after {validation} for validation and"
            f" {test} for the test."
        )
    order = np.random.default_rng(seed).permutation(total)
    return np.split(order, [rest, rest + validation])
