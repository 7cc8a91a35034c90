import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from echoic.core.loss import at_last_step, cross_entropy, squared_error, target_loss


def test_cross_entropy_is_that_of_torch():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4, 5, 7)).astype(np.float32)
    classes = rng.integers(0, 7, (4, 5))
    found = cross_entropy(jnp.asarray(logits), jnp.asarray(classes))
    wanted = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).movedim(-1, 1), torch.from_numpy(classes), reduction="none"
    )
    assert np.allclose(found, wanted.numpy(), rtol=1e-5)


def test_certain_and_wrong_logits_stay_finite():
    logits = jnp.array([[1e4, 0.0], [1e4, 0.0]])
    assert cross_entropy(logits, jnp.array([0, 1])).tolist() == [0.0, 1e4]
    slope = jax.grad(lambda x: cross_entropy(x, jnp.array([0, 1])).sum())(logits)
    assert slope.tolist() == [[0, 0], [1, -1]]


def test_squared_error_is_the_mean_over_channels_not_their_sum():
    assert squared_error(jnp.zeros((1, 2)), jnp.array([[1.0, 3.0]])).tolist() == [5.0]


def test_a_loss_by_name_or_ones_own():
    assert target_loss("cross_entropy") is cross_entropy

    def own(predictions, targets):
        return jnp.abs(predictions[..., 0] - targets)

    assert target_loss(own) is own
    with pytest.raises(ValueError, match="unknown loss 'mse'"):
        target_loss("mse")


@pytest.mark.parametrize(
    ("targets", "last"),
    [
        (jnp.zeros(3, int), True),
        (jnp.zeros((3, 2)), True),
        (jnp.zeros((3, 5), int), False),
        (jnp.zeros((3, 5, 2)), False),
    ],
)
def test_where_a_batch_has_its_targets(targets, last):
    assert at_last_step(targets) is last
