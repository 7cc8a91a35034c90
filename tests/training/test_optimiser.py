"""Steps against torch's optimisers fed with the same gradients, and closed forms of schedules."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from echoic.training.optimiser import (
    Optimiser,
    as_rules,
    clip_by_global_norm,
    descend,
    global_norm,
    initialise,
    numbers,
    progress,
)

SHAPES = {"a": (3, 2), "b": (2,)}
# One gradient a step, the third a hundred times as large as the others.
RNG = np.random.default_rng(0)
GRADIENTS = [
    {k: scale * RNG.normal(size=shape) for k, shape in SHAPES.items()}
    for scale in (1, 1, 100, 1, 1)
]
START = {k: RNG.normal(size=shape) for k, shape in SHAPES.items()}


def ours(rule, steps=100, gradients=GRADIENTS):
    weights = {k: jnp.asarray(v) for k, v in START.items()}
    state = initialise(rule, weights)
    values = numbers(rule, weights["a"].dtype, steps)
    for step, gradient in enumerate(gradients):
        gradient = {k: jnp.asarray(v) for k, v in gradient.items()}
        weights, state = descend(rule, values, gradient, state, weights, step=step)
    return weights


def theirs(make, clip=None, gradients=GRADIENTS):
    weights = {k: torch.tensor(v, requires_grad=True) for k, v in START.items()}
    optimiser = make(list(weights.values()))
    for gradient in gradients:
        norm = math.sqrt(sum((g**2).sum() for g in gradient.values()))
        factor = 1 if clip is None else min(1, clip / norm)
        for k, weight in weights.items():
            weight.grad = torch.tensor(factor * gradient[k])
        optimiser.step()
    return {k: w.detach().numpy() for k, w in weights.items()}


def distance(one, other):
    return max(np.abs(np.asarray(one[k]) - np.asarray(other[k])).max() for k in SHAPES)


PAIRS = {
    "sgd": (Optimiser("sgd", learning_rate=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (
        Optimiser("sgd", learning_rate=0.1, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    ),
    "adam": (Optimiser("adam", learning_rate=0.1), lambda p: torch.optim.Adam(p, lr=0.1)),
    "rates of adam": (
        Optimiser("adam", learning_rate=0.1, beta1=0.5, beta2=0.9, epsilon=1e-3),
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.9), eps=1e-3),
    ),
    "rmsprop": (
        Optimiser("rmsprop", learning_rate=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.9, eps=1e-7),
    ),
    "rmsprop, large epsilon and momentum": (
        Optimiser("rmsprop", learning_rate=0.1, rho=0.5, epsilon=0.1, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.5, eps=0.1, momentum=0.9),
    ),
    "decoupled decay": (
        Optimiser("adam", learning_rate=0.1, weight_decay=0.3),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.3),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("clip", [None, 1.5])
def test_steps_are_those_of_torch(x64, name, clip):
    rule, make = PAIRS[name]
    assert distance(ours(dataclasses.replace(rule, clip=clip)), theirs(make, clip)) < 1e-12


def test_wrong_optimisers_differ(x64):
    decayed = ours(Optimiser("adam", learning_rate=0.1, weight_decay=0.3))
    # Decay that goes through the gradient (L2) is another thing under adam,
    in_gradient = theirs(lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.3))
    assert distance(decayed, in_gradient) > 0.01
    # as is an epsilon inside the root,
    rule = Optimiser("rmsprop", learning_rate=0.1, epsilon=0.1)
    inside = optax.chain(optax.scale_by_rms(0.9, 0.1, eps_in_sqrt=True), optax.scale(-0.1))
    assert distance(ours(rule), ours(inside)) > 0.01
    # and clipping each array by itself.
    rule = Optimiser("sgd", learning_rate=0.1, clip=1.5)
    by_array = [
        {k: g * min(1, 1.5 / np.linalg.norm(g)) for k, g in gradient.items()}
        for gradient in GRADIENTS
    ]
    apart = theirs(lambda p: torch.optim.SGD(p, lr=0.1), gradients=by_array)
    assert distance(ours(rule), apart) > 0.01


def test_optax_transformations_are_taken_as_they_are(x64):
    rule = Optimiser("adam", learning_rate=0.1, clip=1.5)
    same = optax.chain(optax.clip_by_global_norm(1.5), optax.adam(0.1))
    assert distance(ours(rule), ours(same)) < 1e-12


def test_an_exploding_gradient_is_clipped_where_its_square_would_overflow():
    gradient = {"a": jnp.full((2, 2), 3e30, jnp.float32), "b": jnp.full((1,), -2e30, jnp.float32)}
    assert jnp.isinf(jnp.sum(gradient["a"] ** 2))
    assert float(global_norm(gradient)) == pytest.approx(math.sqrt(40) * 1e30, rel=1e-6)
    clipped = clip_by_global_norm(gradient, jnp.asarray(2.0, jnp.float32))
    assert float(clipped["b"][0]) == pytest.approx(-4 / math.sqrt(40), rel=1e-6)


def test_small_gradients_are_left_alone():
    gradient = {"a": jnp.array([0.3, 0.4])}
    assert bool((clip_by_global_norm(gradient, jnp.asarray(1.0))["a"] == gradient["a"]).all())
    assert float(global_norm({"a": jnp.zeros(2)})) == 0
    assert math.isnan(float(global_norm({"a": jnp.array([1.0, jnp.nan])})))


def factors(rule, steps):
    return [float(progress(rule, step, steps, jnp.float32)) for step in range(steps)]


def test_schedules():
    cosine = Optimiser(schedule="cosine", warmup=2)
    expected = [0.5, 1] + [(1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)]
    assert factors(cosine, 10) == pytest.approx(expected, abs=1e-6)
    stairs = Optimiser(schedule="step", decay_every=3, decay_factor=0.5)
    assert factors(stairs, 8) == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])
    assert factors(Optimiser(warmup=4), 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_the_schedule_scales_the_step(x64):
    rule = Optimiser("sgd", learning_rate=0.1, schedule="step", decay_every=1, decay_factor=0.5)
    moved = ours(rule, gradients=GRADIENTS[:2])
    expected = START["a"] - 0.1 * GRADIENTS[0]["a"] - 0.05 * GRADIENTS[1]["a"]
    assert np.abs(np.asarray(moved["a"]) - expected).max() < 1e-14


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adamm"}, "unknown optimiser 'adamm'. Did you mean 'adam'"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'. Did you mean 'cosine'"),
        ({"learning_rate": -1.0}, "learning_rate must lie in 0 <="),
        ({"learning_rate": float("nan")}, "learning_rate must lie in"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"beta2": 1.0}, "beta2 must lie in 0 <= beta2 < 1"),
        ({"momentum": 0.9}, "momentum is for sgd and rmsprop"),
        ({"schedule": "step"}, "decay_every goes with schedule='step'"),
        ({"decay_every": 3}, "decay_every goes with schedule='step'"),
        ({"warmup": -1}, "warmup must lie in 0.."),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Optimiser(**options)


def test_wrong_optimisers_are_refused():
    with pytest.raises(ValueError, match="unknown optimiser 'adamm'"):
        as_rules("adamm", 1)
    with pytest.raises(ValueError, match=r"must be one of adam, rmsprop, sgd, an Optimiser"):
        as_rules(3, 1)
    with pytest.raises(ValueError, match="got 1 optimisers for 2 seeds"):
        as_rules([Optimiser()], 2)
    with pytest.raises(ValueError, match="may differ in learning_rate, clip and weight_decay"):
        as_rules([Optimiser(), Optimiser("sgd")], 2)
    assert len(as_rules([Optimiser(clip=1.0), Optimiser(clip=2.0, learning_rate=1.0)], 2)) == 2
    assert as_rules("sgd", 2) == [Optimiser("sgd")] * 2
