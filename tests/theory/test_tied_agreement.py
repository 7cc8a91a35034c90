"""The theory of tied weights against sampled networks: what is measured, on the same inputs.

Tolerance: four standard errors (theory and networks), and a finite-width term, the share of
gradients that come back to the units they were on.
"""

import dataclasses
import functools
import math

import jax.random as jr
import numpy as np
import pytest

from echoic import cells, data, init
from echoic.measure.gain.reach import reach_curves
from echoic.theory import tied

pytestmark = pytest.mark.slow

NETWORKS = 4
STRONG = {"recurrent": init.gaussian(1.0), "input": init.gaussian(1.0)}


@functools.cache
def inputs(name):
    rng = np.random.default_rng(7)
    if name == "noise":
        return rng.standard_normal(20000)
    if name == "ecg":
        series = np.asarray(data.load("ecg").values).squeeze()
        return (series - series.mean()) / series.std()
    letters = 27  # text-like: a Markov chain over letters, one-hot
    transitions = rng.dirichlet(np.full(letters, 0.2), letters)
    state = [0]
    for _ in range(20000):
        state.append(rng.choice(letters, p=transitions[state[-1]]))
    return np.eye(letters)[state]


@dataclasses.dataclass(frozen=True)
class Case:
    family: type
    options: dict
    max_lag: int
    series: str = "noise"
    burn_in: int = 100
    windows: int = 16

    def channels(self):
        return 1 if inputs(self.series).ndim == 1 else inputs(self.series).shape[1]

    def predict(self, width, units=512):
        law = self.family(self.channels(), width, key=jr.key(0), **self.options).hyperparameters()
        unit = tied.unit_of(
            law, input_size=self.channels(), hidden_size=width, units=units, key=jr.key(8)
        )
        windows = tied.windows_of(
            inputs(self.series), number=self.windows, max_lag=self.max_lag, burn_in=self.burn_in
        )
        return tied.reach(
            unit,
            windows,
            max_lag=self.max_lag,
            burn_in=self.burn_in,
            key=jr.key(5),
            input_spread=inputs(self.series).reshape(-1, self.channels()).std(axis=0),
        )

    def measure(self, width, networks=NETWORKS, starts=16):
        """The mean square over networks of each curve, and its standard error."""
        runs = [
            reach_curves(
                self.family(self.channels(), width, key=jr.key(100 + seed), **self.options),
                inputs(self.series),
                max_lag=self.max_lag,
                burn_in=self.burn_in,
                key=jr.key(seed),
                starts=starts,
            )
            for seed in range(networks)
        ]
        squares = {
            "gradient_reach": [np.asarray(run["gradient_reach"].value) ** 2 for run in runs],
            "coherent_reach": [np.asarray(run["coherent_reach"].details["square"]) for run in runs],
            "input_reach": [np.asarray(run["input_reach"].value) ** 2 for run in runs],
        }
        return {
            name: (np.mean(values, 0), np.std(values, 0, ddof=1) / math.sqrt(networks))
            for name, values in squares.items()
        }


CASES = {
    "plain": Case(cells.Elman, {"recurrent": init.gaussian(1.0)}, 20),
    "plain, bias": Case(
        cells.Elman,
        {"recurrent": init.gaussian(1.5), "input": init.gaussian(0.5), "bias": init.normal(0.5)},
        12,
        windows=32,
    ),
    "orthogonal": Case(
        cells.Elman, {"recurrent": init.orthogonal(1.1), "input": init.gaussian(0.3)}, 12
    ),
    "weakly coupled": Case(
        cells.Elman,
        {
            "recurrent": init.weakly_coupled(init.identity(0.95), 0.05),
            "input": init.gaussian(0.1),
        },
        60,
    ),
    "turning": Case(
        cells.Residual,
        {
            "residual": init.rotation(0.98, period=28),
            "coupling": 0.1,
            "recurrent": init.gaussian(1.0),
            "input": init.gaussian(1.0),
        },
        60,
    ),
    "heterogeneous": Case(
        cells.Residual,
        {"residual": init.heterogeneous(50.0), "coupling": 0.1, "recurrent": init.gaussian(1.0)},
        100,
    ),
    "minimal, chrono": Case(
        cells.MinimalRNN,
        {
            "bias": init.chrono(250.0),
            "recurrent": init.gaussian(2.0),
            "embedding": init.gaussian(1.0),
        },
        250,
        burn_in=250,
    ),
    "minimal, ECG": Case(cells.MinimalRNN, {"bias": init.chrono(250.0)}, 250, "ecg", 250),
    "GRU, strong": Case(cells.GRU, {"bias": init.forget(5.0)} | STRONG, 250, burn_in=250),
    "GRU, default": Case(cells.GRU, {}, 15),
    "GRU, text": Case(cells.GRU, {"bias": init.chrono(100.0)}, 100, "text"),
    "GRU, ECG": Case(
        cells.GRU, {"bias": init.chrono(250.0), "input": init.gaussian(1.0)}, 250, "ecg", 250
    ),
    "reset before": Case(
        cells.ResetBeforeGRU,
        {
            "bias": init.forget(2.0),
            "recurrent": init.gaussian(2.0),
            "input": init.gaussian(1.0),
        },
        60,
    ),
    "LSTM, chrono": Case(cells.LSTM, {"bias": init.chrono(250.0)}, 250, burn_in=250),
    "LSTM, strong": Case(cells.LSTM, {"bias": init.forget(3.0)} | STRONG, 60, burn_in=200),
    "LSTM, default": Case(cells.LSTM, {}, 12),
    "LSTM, text": Case(cells.LSTM, {"bias": init.forget(3.0)}, 60, "text"),
    "peephole": Case(
        cells.PeepholeLSTM,
        {"bias": init.forget(3.0), "peephole": init.normal(0.5)} | STRONG,
        60,
    ),
    "full peephole": Case(
        cells.FullPeepholeLSTM,
        {"bias": init.forget(2.0), "recurrent": init.gaussian(0.7), "input": init.gaussian(0.5)},
        20,
    ),
}


def loops(prediction, width):
    """The relative excess of the squared gain by gradients that come back, in either network."""
    share = np.where(prediction.recurrent_share > 0, prediction.recurrent_share, 1)
    passes = prediction.hops / share
    size = min(width, prediction.population)
    return np.expm1(prediction.recurrent_share * passes**4 / (11 * size**2))


@pytest.mark.parametrize("name", CASES)
def test_networks_of_256_units_follow(name):
    case, width = CASES[name], 256
    prediction, measured = case.predict(width), case.measure(width)
    last = prediction.trusted_lag(width)
    assert last >= min(case.max_lag, 8)
    lags = np.unique(np.linspace(1, last, 8).astype(int))
    excess = loops(prediction, width)
    predicted = {
        "gradient_reach": (prediction.gradient_reach, prediction.gradient_reach_error),
        "coherent_reach": (prediction.coherent_reach, prediction.coherent_reach_error),
        "input_reach": (prediction.input_reach(width), prediction.input_reach_error(width)),
    }
    for curve, (value, error) in predicted.items():
        square, square_error = measured[curve]
        # Four networks know their own spread badly: the theory's estimate of it joins in.
        spread = 2 * value**2 * prediction.relative_spread / math.sqrt(width * NETWORKS)
        own = ((value + error) ** 2 - value**2)[lags]
        several = np.hypot(np.maximum(square_error, spread)[lags], own)
        gap = np.abs(square - value**2)[lags]
        assert np.all(gap <= 4 * several + (excess * value**2)[lags]), (
            f"{curve}: {np.sqrt(np.abs(square))[lags]} against {value[lags]}"
        )


@pytest.mark.parametrize("name", ["LSTM, chrono", "heterogeneous"])
def test_the_gap_shrinks_with_width(name):
    """Single networks stray by 1/sqrt(n): four times less at sixteen times the width."""
    case = CASES[name]
    case = dataclasses.replace(case, max_lag=min(case.max_lag, 60), burn_in=60)
    prediction = case.predict(64, units=2048)

    def gap(width, networks):
        squares = [
            np.asarray(
                reach_curves(
                    case.family(1, width, key=jr.key(40 + seed), **case.options),
                    inputs("noise"),
                    max_lag=case.max_lag,
                    burn_in=case.burn_in,
                    key=jr.key(seed),
                    starts=8,
                )["gradient_reach"].value
            )
            for seed in range(networks)
        ]
        relative = np.array(squares)[:, 10::10] / prediction.gradient_reach[10::10] - 1
        return np.sqrt(np.mean(relative**2))

    narrow, wide = gap(64, 8), gap(1024, 3)
    assert wide < 0.6 * narrow
    # And it is the gap that the spread over units foretells.
    assert 0.5 < narrow / np.mean(prediction.relative_spread[10::10] / 8) < 2


def test_wrong_theories_of_a_real_network_are_rejected():
    """Averaged gates, no passes, mass without interference, one replica: each far off."""
    case, width, lag = CASES["turning"], 256, 60
    square, error = (part[lag] for part in case.measure(width)["gradient_reach"])
    prediction = case.predict(width)
    deviation = math.hypot(error, 2 * math.sqrt(square) * prediction.gradient_reach_error[lag])
    assert abs(prediction.gradient_reach[lag] ** 2 - square) < 4 * deviation
    stay, jump = np.array([0.98**2]), case.options["coupling"] ** 2
    no_passes, one_time = stay[0] ** lag, _renewal(stay, jump, lag)  # even without saturation
    assert no_passes < 0.5 * square
    assert one_time < 0.5 * square

    case = CASES["heterogeneous"]
    square = case.measure(width)["gradient_reach"][0][lag]
    moduli = np.asarray(
        case.family(1, width, key=jr.key(0), **case.options).residual_moduli(), np.float64
    )
    averaged_first = np.mean(moduli**2) ** lag
    assert averaged_first < 0.1 * square

    strong, lag = CASES["LSTM, strong"], 40
    prediction, measured = strong.predict(width), strong.measure(width)
    coherent = measured["coherent_reach"][0][lag]
    assert abs(prediction.coherent_reach[lag] ** 2 - coherent) < 0.5 * coherent
    one_replica = prediction.gradient_reach[lag] ** 2
    assert one_replica > 2 * coherent
    dropped = one_replica * (1 - prediction.recurrent_share[lag])
    assert dropped < 0.5 * measured["gradient_reach"][0][lag]


def _renewal(stay, jump, max_lag):
    """The one-time equation: mass stays with ``stay`` on its unit or jumps to a fresh one."""
    kernel = np.mean(stay[:, None] ** np.arange(max_lag + 1), axis=0)
    mass = [1.0]
    for k in range(1, max_lag + 1):
        mass.append(kernel[k] + jump * sum(mass[s - 1] * kernel[k - s] for s in range(1, k + 1)))
    return mass[max_lag]


def test_two_thousand_lags():
    case = Case(
        cells.LSTM,
        {"bias": init.chrono(2000.0), "recurrent": init.gaussian(0.1)},
        2000,
        burn_in=500,
        windows=4,
    )
    prediction = case.predict(128, units=256)
    square, error = case.measure(128, networks=2, starts=4)["gradient_reach"]
    lags = np.array([50, 200, 500, 1000, 2000])
    spread = 2 * prediction.gradient_reach**2 * prediction.relative_spread / math.sqrt(256)
    tolerance = np.hypot(np.maximum(error, spread), 2 * prediction.gradient_reach_error)
    assert np.all(np.abs(square - prediction.gradient_reach**2)[lags] <= 4 * tolerance[lags])


def test_powers_of_a_gaussian_matrix_grow_by_the_fourth_power_of_passes():
    """The finite-width excess that ``trusted_lag`` rests on."""
    rng = np.random.default_rng(0)
    size, samples, passes = 32, 2000, 6
    matrices = rng.standard_normal((samples, size, size)) / math.sqrt(size)
    power = matrices
    for _ in range(passes - 1):
        power = matrices @ power
    squares = np.sum(power**2, axis=(1, 2)) / size
    excess, error = squares.mean() - 1, squares.std() / math.sqrt(samples)
    assert abs(excess - passes**4 / (11 * size**2)) < 4 * error + 0.1 * excess
    second_power = passes**2 / (2 * size)
    assert abs(excess - second_power) > 10 * error
