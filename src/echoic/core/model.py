"""What is trained: a network with a readout, which turns whole sequences into predictions."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from echoic.core.cell import State
from echoic.core.rollout import Rollout


class AbstractModel(eqx.Module):
    """A network that reads whole sequences, causal or not."""

    input_size: eqx.AbstractVar[int]
    hidden_size: eqx.AbstractVar[int]
    readout: eqx.AbstractVar[Any]  # what `predict` applies, or None

    @abc.abstractmethod
    def run(
        self,
        inputs: Array,
        *,
        state: State = None,
        last: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Rollout:
        """The outputs that a readout sees, and the last state.

        **Arguments**
        - `inputs`: numbers (b, t, m), or symbols (b, t) as integers.
        - `state`: the state before the first input, each leaf with a leading b; by default the
          network's own.
        - `last`: only the outputs of the last step, (b, n) in place of (b, t, n).
        - `key`: for dropout; None (the default) leaves nothing out.
        """

    @abc.abstractmethod
    def predict(self, outputs: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
        """The readout applied to outputs, any number of leading axes."""


def own_readout(network: Any) -> Callable | None:
    """A network's own readout as a function of an output alone; None where there is none.

    It is `predict`, not the field `readout`, which may need the matrix of an embedding.
    """
    if not isinstance(network, AbstractModel) or network.readout is None:
        return None
    return network.predict
