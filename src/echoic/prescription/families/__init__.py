"""The families that a horizon can be prescribed for, one file a kind."""

from collections.abc import Callable, Mapping

from echoic.prescription.families import chains, elman, gated, linear, residual
from echoic.prescription.prescription import Prescription, Wanted

Solver = Callable[[Wanted], Prescription]

FAMILIES: Mapping[str, Mapping[str, Solver]] = {
    "elman": {
        "gaussian": elman.gaussian,
        "orthogonal": elman.orthogonal,
        "identity": elman.identity,
        "weakly_coupled": elman.weakly_coupled,
        "chain": chains.chain,
        "feedback_chain": chains.feedback_chain,
    },
    "residual": {
        "one_time_constant": residual.one_time_constant,
        "rotation": residual.rotation,
        "heterogeneous": residual.heterogeneous,
        "tanh_path": residual.tanh_path,
    },
    "minimal_rnn": {"chrono": gated.minimal_chrono, "critical": gated.minimal_critical},
    "gru": {"chrono": gated.gru_chrono, "critical": gated.gru_critical},
    "lstm": {"chrono": gated.lstm_chrono, "critical": gated.lstm_critical},
    "linear": {"gaussian": linear.gaussian, "orthogonal": linear.orthogonal},
}

__all__ = ["FAMILIES", "Solver"]
