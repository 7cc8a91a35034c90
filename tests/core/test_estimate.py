"""Estimates carry their doubts with them, inside and outside of tracing."""

import jax
import jax.numpy as jnp
import pytest

from echoic import Estimate, Status, UntrustedError
from echoic.core.estimate import Settings


def test_flags_speak_for_people():
    both = Status.SINGULAR | Status.LOW_PRECISION
    assert both.sentences == (
        "The Jacobians are singular: some exponents are -inf.",
        "Measured in float32: contracting directions are lost to rounding.",
    )
    assert both.trusted
    assert not (both | Status.SUM_RULE_BROKEN).trusted
    assert Status.OK.sentences == ()


def test_every_flag_has_a_sentence():
    assert all(len(flag.sentences) == 1 for flag in Status)


def test_throw_raises_on_the_named_flags_only():
    estimate = Estimate(jnp.ones(2), status=Status.UNSTABLE)
    assert estimate.throw(Status.NOT_FINITE) is estimate
    with pytest.raises(UntrustedError, match=r"unstable.*throw=False"):
        estimate.throw(Status.UNSTABLE, Status.NOT_FINITE)


def test_under_tracing_the_status_stays_inside():
    @jax.jit
    def traced(x):
        status = jnp.where(x > 0, int(Status.OK), int(Status.UNSTABLE)).astype(jnp.int32)
        return Estimate(x, status=status, settings=Settings(lag=3)).throw(Status.UNSTABLE)

    estimate = traced(jnp.asarray(-1.0))
    assert estimate.statuses == Status.UNSTABLE
    assert estimate.settings["lag"] == 3


def test_batched_estimates_join_their_flags():
    statuses = jnp.array([0, int(Status.SINGULAR), int(Status.UNSTABLE)], jnp.int32)
    assert Estimate(jnp.ones(3), status=statuses).statuses == Status.SINGULAR | Status.UNSTABLE


def test_settings_are_read_only_and_hash_by_value():
    assert hash(Settings(a=1, b="x")) == hash(Settings(a=1, b="x"))
    assert Settings(a=1) != Settings(a=2)
    assert dict(Settings(a=1)) == {"a": 1}
    with pytest.raises(TypeError):
        Settings(a=1)["a"] = 2  # pyright: ignore
