"""How much work a checkup puts into its error bars."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Effort:
    """The sample sizes of a checkup.

    **Fields**

    - ``starts``: starting times of the gain curves, spread over the signal.
    - ``probes``: random directions at each of them.
    - ``exponent_steps``: steps that the Lyapunov exponents are averaged over.
    - ``recall_steps``: steps that the linear recall is fitted and tested on.
    - ``end_times``: times that the Fisher memory is averaged over.
    - ``windows``: stretches of the signal that those times lie in.
    - ``extras``: whether Fisher memory, singular values and the wide limit's prediction are taken,
      which cost most of the time.
    """

    starts: int = 32
    probes: int = 4
    exponent_steps: int = 2_000
    recall_steps: int = 20_000
    end_times: int = 16
    windows: int = 1
    extras: bool = True


# Error bars shrink with the root of the sample: nine times the work for a third of the error, where
# the signal has so many independent stretches.
QUICK = Effort()
THOROUGH = Effort(
    starts=144,
    probes=8,
    exponent_steps=18_000,
    recall_steps=180_000,
    end_times=144,
    windows=9,
)
# What fits beside a training run: gains, recall and exponents.
BRIEF = Effort(exponent_steps=1_000, recall_steps=4_000, extras=False)

# Above these sizes the full spectrum costs minutes, and only its leading part is measured.
FULL_SPECTRUM_STATES = 320
LEADING_EXPONENTS = 16


# Theory is followed to so many horizons: beyond, its curve has fallen.
PREDICTED_HORIZONS = 4

# With fewer samples a readout fits chance: in a GRU that forgets within a few steps, one series in
# six then seemed to be recalled over 20 steps.
_FEWEST_SAMPLES = 100
_FEWEST_SAMPLES_A_UNIT = 5


# Dense work of n^3 operations a step: about a minute of it on two cores.
_MOST_OPERATIONS = 2e12
_MOST_JACOBI_STATES = 512


def readout_possible(samples: int, units: int) -> bool:
    """Whether so many samples can tell a readout of ``units`` outputs from chance."""
    return samples >= max(_FEWEST_SAMPLES, _FEWEST_SAMPLES_A_UNIT * units)


def fisher_windows(wanted: int, state_size: int, max_lag: int) -> int:
    """How many of the ``wanted`` windows of the Fisher memory are affordable; 0 for none.

    A step costs two products and a factorisation of (n, n), a window three times the largest lag.
    """
    operations = 4.5 * state_size**3 * 3 * max_lag
    return min(wanted, int(_MOST_OPERATIONS / operations))


def singular_values_affordable(state_size: int, horizon: int) -> bool:
    """Whether all singular values over the horizon are worth their n^3 operations a step."""
    few = state_size <= _MOST_JACOBI_STATES
    return few and 5 * state_size**3 * horizon <= _MOST_OPERATIONS


def largest_lag(horizon: int, length: int) -> int:
    """The largest lag measured: eight horizons, 2,000 at most, yet always beyond the horizon.

    A short series keeps half of its steps beyond the horizon to measure at.
    """
    wanted = max(horizon + max(horizon // 4, 1), min(8 * horizon, 2_000))
    return min(wanted, horizon + (length - horizon) // 2)


def settling_steps(horizon: int, max_lag: int, length: int) -> int:
    """Steps that a network runs before it is measured: two horizons, 200 at least.

    Fewer where the series is short, so that as many are left to measure at.
    """
    return max(0, min(max(200, 2 * horizon), (length - max_lag) // 2))
