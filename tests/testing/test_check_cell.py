"""The contract suite rejects cells that break it, each with its own sentence."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array

from echoic.core.cell import AbstractCell, LinearForm, PointwiseCell
from echoic.testing import check_cell

KEY = jr.key(1)
N, M = 4, 2


class Plain(AbstractCell):
    """A good cell; the broken ones below change one thing each."""

    weight: Array
    input: Array
    input_size: int = eqx.field(static=True, default=M)
    hidden_size: int = eqx.field(static=True, default=N)

    def initial_state(self):
        return jnp.zeros(N, self.weight.dtype)

    def step(self, state, x):
        return jnp.tanh(self.weight @ state + self.input @ x)

    def read(self, state):
        return state


class Pointwise(PointwiseCell):
    """A good pointwise cell."""

    recurrent: Array
    input: Array
    input_size: int = eqx.field(static=True, default=M)
    hidden_size: int = eqx.field(static=True, default=N)

    def initial_state(self):
        return jnp.zeros(N, self.recurrent.dtype)

    def read(self, state):
        return state

    def project(self, xs):
        return xs @ self.input.T

    def combine(self, state, drive, product):
        return jnp.tanh(drive + product)


def build(kind):
    weight_key, input_key = jr.split(jr.key(0))
    return kind(jr.normal(weight_key, (N, N)), jr.normal(input_key, (N, M)))


def breaks(kind, base=Plain, **methods):
    return type(kind, (base,), {"__annotations__": {}, "__module__": __name__, **methods})


COUNTER = itertools.count()
MEMORY = {"last": 0.0}


def draws_noise(self, state, x):
    return jnp.tanh(self.weight @ state) + float(np.random.default_rng().normal())


def counts_calls(self, state, x):
    return jnp.tanh(self.weight @ state + self.input @ x) + next(COUNTER)


def remembers(self, state, x):
    """Adds what the call before the last different one left: equal calls in a row agree."""
    key = float(state[0])
    if MEMORY.get("key") != key:
        MEMORY["key"], MEMORY["last"] = key, MEMORY["last"] + 1.0
    return jnp.tanh(self.weight @ state + self.input @ x) + MEMORY["last"]


def branches(self, state, x):
    return state if float(state[0]) > 100 else jnp.tanh(self.weight @ state + self.input @ x)


@jax.custom_jvp
def crooked(u):
    return jnp.tanh(u)


crooked.defjvp(lambda primals, tangents: (jnp.tanh(primals[0]), tangents[0]))

BROKEN = {
    "grows": (
        breaks("Grows", step=lambda self, state, x: jnp.concatenate([state, x])),
        r"step changes the state from float32\[4\] to float32\[6\]",
    ),
    "restructures": (
        breaks("Restructures", step=lambda self, state, x: (state,)),
        "step changes the structure",
    ),
    "half precision": (
        breaks("Half", step=lambda self, state, x: state.astype(jnp.float16)),
        r"from float32\[4\] to float16\[4\]",
    ),
    "noise": (breaks("Noise", step=draws_noise), "not pure: two equal calls differ"),
    "counter": (breaks("Counter", step=counts_calls), "not pure: two equal calls differ"),
    "memory": (breaks("Memory", step=remembers), "it remembers an earlier call"),
    "python branch": (breaks("Branch", step=branches), "step under jit fails with"),
    "read shape": (
        breaks("ReadShape", read=lambda self, state: state[:2]),
        r"read must have shape \(hidden_size,\) = \(4,\), got \(2,\)",
    ),
    "read rank": (
        breaks("ReadRank", read=lambda self, state: state[:, None]),
        "read must be a vector of dtype float32",
    ),
    "size": (
        breaks("Size", state_size=property(lambda self: 2 * N)),
        "state_size is 8, but initial_state",
    ),
    "empty": (
        breaks("Empty", initial_state=lambda self: jnp.zeros(N, jnp.int32)),
        "initial_state",
    ),
    "swallows NaN in the state": (
        breaks("Nan", step=lambda self, s, x: jnp.tanh(jnp.nan_to_num(self.weight @ s))),
        "a state of NaN leads to a state without NaN",
    ),
    "swallows NaN in the input": (
        breaks(
            "NanInput",
            step=lambda self, s, x: jnp.tanh(self.weight @ s + jnp.nan_to_num(self.input @ x)),
        ),
        "an input of NaN leads to a state without NaN",
    ),
    "fixed dtype": (
        breaks(
            "Fixed",
            step=lambda self, s, x: jnp.tanh(self.weight @ s + self.input @ x).astype(jnp.float32),
        ),
        "cast to float64, a step leaves the state in float32",
    ),
    "fixed start": (
        breaks("Start", initial_state=lambda self: jnp.zeros(N, jnp.float32)),
        "initial_state.. still gives float32",
    ),
    "stopped gradient": (
        breaks(
            "Stopped",
            step=lambda self, s, x: jnp.tanh(
                self.weight @ jax.lax.stop_gradient(s) + self.input @ x
            ),
        ),
        "the derivative of step in the state differs",
    ),
    "wrong derivative": (
        breaks(
            "Crooked", step=lambda self, s, x: jnp.tanh(self.weight @ s) + crooked(self.input @ x)
        ),
        "the derivative of step in the input differs",
    ),
    "linear form": (
        breaks(
            "Form",
            step=lambda self, s, x: self.weight @ s + self.input @ x,
            linear_form=lambda self: LinearForm(self.weight.T, self.input, jnp.zeros(N)),
        ),
        "linear_form.. does not give the step",
    ),
    "blocks": (
        breaks("Blocks", recurrent_blocks=lambda self: {"input": self.input}),
        "recurrent block 'input' must be square",
    ),
    "fixed field": (breaks("Field", fixed=("modulus",)), "fixed names 'modulus'"),
    "step apart": (
        breaks("Apart", Pointwise, step=lambda self, s, x: jnp.tanh(self.recurrent @ s)),
        "step differs from combine",
    ),
    "project one only": (
        breaks("One", Pointwise, project=lambda self, xs: self.input @ xs),
        "project with a leading time axis fails with",
    ),
    "project mixes times": (
        breaks(
            "Mixes",
            Pointwise,
            project=lambda self, xs: (
                jnp.cumsum(xs.reshape(-1, M), axis=0).reshape(xs.shape) @ self.input.T
            ),
        ),
        "project with a leading time axis differs|rollout differs",
    ),
}


@pytest.mark.parametrize("kind", [Plain, Pointwise])
def test_good_cells_pass(kind):
    check_cell(build(kind), key=KEY)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_cells_are_told_why(name):
    kind, says = BROKEN[name]
    with pytest.raises(AssertionError, match=says):
        check_cell(build(kind), key=KEY)


def test_what_is_no_cell():
    with pytest.raises(Exception, match=r"not an AbstractCell|parameter 'cell'"):
        check_cell(lambda state, x: state, key=KEY)
