"""How gradients become steps: named optimisers as plain records, or the user's own of optax."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import optax
from jaxtyping import Array, Float, Int, PyTree

from echoic.core.checks import at_least, one_of

NAMES = ("adam", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "step")
_EPSILON = {"adam": 1e-8, "rmsprop": 1e-7, "sgd": 0.0}


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """An optimiser as a plain record.

    **Definition.** The gradient of all trained arrays together is first scaled down to the norm
    ``clip`` if it is longer. A direction d is made of it:

    - ``"sgd"``: d = g, or with momentum ``d = momentum d + g``;
    - ``"adam"``: ``d = m / (sqrt(v) + epsilon)`` with the unbiased moving averages m of g and v of
      g^2, of rates `beta1` and `beta2`;
    - ``"rmsprop"``: ``d = g / (sqrt(v) + epsilon)`` with v = rho v + (1 - rho) g^2, v_0 = 0, the
      epsilon outside the root as in Keras; then momentum as above.

    The step is ``-r (d + weight_decay w)`` with r the `learning_rate` times its schedule: decay is
    decoupled from the gradient, as in AdamW, and acts on trained arrays only.

    **Arguments**
    - `schedule`: ``"constant"``; ``"cosine"``, a half cosine from 1 to 0 over the run; or
      ``"step"``, times `decay_factor` every `decay_every` steps.
    - `warmup`: so many steps at first in which the rate rises linearly.
    - `clip`: the largest norm of the gradient; None clips nothing.
    - `epsilon`: 1e-8 for adam, 1e-7 for rmsprop, where None.

    **Raises** ValueError for an unknown name or schedule and for numbers out of range.

    **Reference.** Kingma & Ba 2015; Tieleman & Hinton 2012; Loshchilov & Hutter 2019; clipping by
    the global norm: Pascanu, Mikolov & Bengio 2013.

    **Example**
    >>> Optimiser("rmsprop", learning_rate=1e-4, clip=1.0).rho
    0.9
    """

    name: str = "adam"
    learning_rate: float | int = 1e-3
    clip: float | int | None = None
    schedule: str = "constant"
    warmup: int = 0
    decay_every: int | None = None
    decay_factor: float | int = 0.1
    weight_decay: float | int = 0.0
    momentum: float | int = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    rho: float = 0.9
    epsilon: float | None = None

    def __post_init__(self):
        one_of("optimiser", self.name, NAMES)
        one_of("schedule", self.schedule, SCHEDULES)
        at_least("warmup", self.warmup, 0)
        if (self.schedule == "step") != (self.decay_every is not None):
            raise ValueError("decay_every goes with schedule='step', and is needed there.")
        if self.decay_every is not None:
            at_least("decay_every", self.decay_every, 1)
        if self.momentum and self.name == "adam":
            raise ValueError("momentum is for sgd and rmsprop; adam has beta1.")
        for name in ("learning_rate", "weight_decay", "decay_factor"):
            _in_range(name, getattr(self, name), 0.0, float("inf"))
        for name in ("momentum", "beta1", "beta2", "rho"):
            _in_range(name, getattr(self, name), 0.0, 1.0)
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be above 0, or None, got {self.clip!r}.")
        if self.epsilon is not None:
            _in_range("epsilon", self.epsilon, 0.0, float("inf"))


def _in_range(name: str, value: Any, smallest: float, end: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {value!r}.")
    if not smallest <= value < end:
        raise ValueError(f"{name} must lie in {smallest:g} <= {name} < {end:g}, got {value!r}.")


class Numbers(NamedTuple):
    """The numbers of an optimiser that may differ between members of one compiled program."""

    learning_rate: Float[Array, ""]
    clip: Float[Array, ""] | None
    weight_decay: Float[Array, ""]
    steps: Int[Array, ""]


Rule = Optimiser | optax.GradientTransformation


def as_rules(optimiser: Any, num_members: int) -> list[Rule]:
    """One rule for each member.

    **Raises** ValueError for what is no optimiser, and for rules that one program cannot serve.
    """
    given = list(optimiser) if isinstance(optimiser, list) else [optimiser] * num_members
    if len(given) != num_members:
        raise ValueError(f"got {len(given)} optimisers for {num_members} seeds.")
    rules = [_as_rule(one) for one in given]
    if any(without_numbers(rule) != without_numbers(rules[0]) for rule in rules[1:]):
        raise ValueError(
            "the optimisers of one run may differ in learning_rate, clip and weight_decay only."
        )
    return rules


def _as_rule(optimiser: Any) -> Rule:
    """A record, the name of one with its defaults, or an optax transformation, as it is."""
    if isinstance(optimiser, str):
        return Optimiser(one_of("optimiser", optimiser, NAMES))
    if isinstance(optimiser, Optimiser | optax.GradientTransformation):
        return optimiser
    raise ValueError(
        f"optimiser must be one of {', '.join(NAMES)}, an Optimiser(...) or an"
        f" optax.GradientTransformation, got {optimiser!r}."
    )


def numbers(rule: Rule, dtype: Any, steps: int) -> Numbers:
    """What of the record is traced, in the precision of the weights; ``steps`` is the run's."""
    length = jnp.asarray(steps, jnp.int32)
    if not isinstance(rule, Optimiser):
        return Numbers(jnp.ones((), dtype), None, jnp.zeros((), dtype), length)
    return Numbers(
        jnp.asarray(rule.learning_rate, dtype),
        None if rule.clip is None else jnp.asarray(rule.clip, dtype),
        jnp.asarray(rule.weight_decay, dtype),
        length,
    )


def without_numbers(rule: Rule) -> Rule:
    """The rule with all that is traced set to one value: rules that share a program are equal."""
    if not isinstance(rule, Optimiser):
        return rule
    clip = None if rule.clip is None else 1.0
    return dataclasses.replace(rule, learning_rate=1.0, clip=clip, weight_decay=0.0)


def initialise(rule: Rule, weights: PyTree) -> PyTree:
    """The optimiser's state before the first step."""
    return _transformation(rule).init(weights)


def descend(
    rule: Rule,
    values: Numbers,
    gradient: PyTree,
    state: PyTree,
    weights: PyTree,
    *,
    step: Any,
) -> tuple[PyTree, PyTree]:
    """The weights and the optimiser's state after step 0, 1, ... of the run."""
    ours = isinstance(rule, Optimiser)
    if ours and values.clip is not None:
        gradient = clip_by_global_norm(gradient, values.clip)
    # Optax multiplies floats with counters: strict promotion is not for it.
    with jax.numpy_dtype_promotion("standard"):
        direction, state = _transformation(rule).update(gradient, state, weights)
    if not ours:
        return optax.apply_updates(weights, direction), state
    rate = values.learning_rate * progress(rule, step, values.steps, values.learning_rate.dtype)

    def move(weight, direction):
        decayed = direction + values.weight_decay.astype(weight.dtype) * weight
        return weight - rate.astype(weight.dtype) * decayed

    return jtu.tree_map(move, weights, direction), state


def _transformation(rule: Rule) -> optax.GradientTransformation:
    """From the clipped gradient to the direction, without the learning rate."""
    if not isinstance(rule, Optimiser):
        return rule
    epsilon = _EPSILON[rule.name] if rule.epsilon is None else rule.epsilon
    momentum = [optax.trace(rule.momentum)] if rule.momentum else []
    if rule.name == "adam":
        return optax.scale_by_adam(rule.beta1, rule.beta2, epsilon)
    if rule.name == "rmsprop":
        scale = optax.scale_by_rms(rule.rho, epsilon, eps_in_sqrt=False)
        return optax.chain(scale, *momentum)
    if rule.name == "sgd":
        return optax.chain(*momentum) if momentum else optax.identity()
    raise ValueError(f"unknown optimiser {rule.name!r}.")


def progress(rule: Optimiser, step: Any, steps: Any, dtype: Any) -> Float[Array, ""]:
    """What the schedule multiplies the learning rate by in step 0, 1, ... of ``steps``."""
    step = jnp.asarray(step)
    factor = jnp.ones((), dtype)
    if rule.schedule == "cosine":
        rest = jnp.maximum(jnp.asarray(steps) - rule.warmup, 1).astype(dtype)
        share = jnp.maximum(step - rule.warmup, 0).astype(dtype) / rest
        factor = (1 + jnp.cos(jnp.pi * share)) / 2
    elif rule.schedule == "step":
        factor = jnp.asarray(rule.decay_factor, dtype) ** (step // rule.decay_every).astype(dtype)
    elif rule.schedule != "constant":
        raise ValueError(f"unknown schedule {rule.schedule!r}.")
    if rule.warmup:
        factor = factor * jnp.minimum(1, (step + 1).astype(dtype) / rule.warmup)
    return factor


def global_norm(tree: PyTree) -> Float[Array, ""]:
    """The Euclidean norm of all arrays together.

    The largest entry is divided out first: the squares of an exploding gradient would overflow long
    before its entries do, and what is to be clipped would be lost.

    **Example**
    >>> import jax.numpy as jnp
    >>> round(float(global_norm([jnp.array([3e30]), jnp.array([4e30])])) / 1e30, 5)
    5.0
    """
    leaves = jtu.tree_leaves(tree)
    leaves = [leaf for leaf in leaves if leaf.size]
    if not leaves:
        return jnp.zeros(())
    dtype = max((leaf.dtype for leaf in leaves), key=lambda dtype: dtype.itemsize)
    leaves = [leaf.astype(dtype) for leaf in leaves]
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    scale = jnp.where(largest > 0, largest, jnp.ones_like(largest))
    return scale * jnp.sqrt(sum(jnp.sum((leaf / scale) ** 2) for leaf in leaves))


def clip_by_global_norm(gradient: PyTree, largest: Float[Array, ""]) -> PyTree:
    """The gradient, scaled down as a whole where its norm is above ``largest``."""
    norm = global_norm(gradient)
    factor = jax.lax.select(norm > largest, largest.astype(norm.dtype) / norm, jnp.ones_like(norm))
    return jtu.tree_map(lambda leaf: leaf * factor.astype(leaf.dtype), gradient)
