"""A made-up report with everything that can go wrong in it. No network was measured."""

import dataclasses

import numpy as np

from echoic.core.records import Curve, Horizon, NetworkRecord, ReportRecord, SignalRecord, Spectrum
from echoic.core.training_record import MemberRecord, TrainingRecord

HOSTILE = "<script>alert(1)</script>"
NAMES = (
    "residual RNN, weakly coupled",
    "minimalRNN, critical",
    "chain 1.02",
    "orthogonal RNN",
    "feedback chain .99/.04",
    "GRU, chrono",
    HOSTILE,
    "identity RNN (IRNN)",
    "LSTM, chrono",
    "LSTM, forget bias 1 with a name that is much too long for any table",
    "LSTM, torch default",
    "Gaussian RNN, gain 2",
)
RATES = (-0.004, -0.006, -np.inf, -0.008, 0.003, -0.012, -0.02, 0.0, -0.03, -0.06, -0.1, 0.09)


def horizon_of(value, error, threshold, growing=False):
    stands = value - 2 * np.nan_to_num(error) >= threshold
    last = int(np.flatnonzero(stands)[-1]) if stands.any() else -1
    first = None if stands.all() else int(np.flatnonzero(~stands)[0])
    return Horizon(threshold, last, first, int(np.nanargmax(value)), bool(stands[-1]), growing)


def network(index, name, rate, *, horizon=250, max_lag=2000, units=128, rng):
    lags = np.arange(max_lag + 1)
    growing = rate > 0.01
    if np.isneginf(rate):
        gain = np.where(lags < units, 1.02**lags * np.sqrt(np.clip(1 - lags / units, 0, 1)), 0.0)
        recall = np.where(lags < units, 0.95 - 0.3 * lags / units, 0.0)
    else:
        gain = np.exp(np.clip(rate * lags, -300, 300)) * (1 + 0.3 * np.exp(-lags / 5)) / 1.3
        recall = 0.97 * np.exp(-((lags / (0.9 / abs(rate - 0.002) + 5)) ** 1.3)) * (not growing)
    recall = np.clip(recall + rng.normal(0, 0.004, lags.size) * (recall > 0.01), 0, 1)
    error = 0.04 * gain * (1 + lags / max_lag)
    coherent = gain * np.exp(-lags / 400)
    spread = np.sort(rng.normal(-0.4, 0.3, units))[::-1]
    exponents = np.minimum.accumulate(np.r_[rate, np.minimum(rate, spread[1:])])
    predicted = gain * np.exp(0.2 * np.sin(lags / 60)) if index != 2 else gain * 0.9
    curves = [
        Curve(
            "gradient_reach",
            "gain",
            "measured",
            lags,
            gain,
            error,
            horizon=horizon_of(gain, error, 0.05, growing),
        ),
        Curve(
            "gradient_reach",
            "gain",
            "predicted",
            lags,
            predicted,
            source="Chen, Pennington, Schoenholz (2018), equation 8",
            notes=("Predicted for independent weights.",),
        ),
        Curve(
            "coherent_reach",
            "gain",
            "measured",
            lags,
            coherent,
            error,
            floor=np.maximum(gain / np.sqrt(32), 1e-300),
            horizon=horizon_of(coherent, error, 0.05, growing),
        ),
        Curve(
            "lyapunov_asymptote",
            "gain",
            "reference",
            lags,
            np.exp(np.clip(rate * lags, -300, 300))
            if np.isfinite(rate)
            else np.r_[1.0, np.zeros(max_lag)],
        ),
        Curve(
            "linear_recall",
            "information",
            "measured",
            lags,
            recall,
            np.full(lags.size, 0.008 if index != 3 else np.nan),
            floor=np.full(lags.size, 0.03),
            horizon=horizon_of(recall, np.full(lags.size, 0.008), 0.1),
        ),
        Curve("linear_recall", "information", "predicted", lags, recall * 0.97),
        Curve(
            "fisher_memory",
            "information",
            "measured",
            lags,
            0.8 * recall**2,
            np.full(lags.size, 0.01),
            horizon=horizon_of(recall**2, np.zeros(lags.size), 0.05),
        ),
        Curve("fisher_memory", "information", "bound", lags, np.minimum(1, 3 / (1 + lags))),
    ]
    log_gain = float(np.log(gain[horizon])) if gain[horizon] > 0 else -np.inf
    regime = "fading" if log_gain < -3 else "rugged" if log_gain > 3 else "edge"
    return NetworkRecord(
        name=name,
        family=name.split()[0],
        description="A made-up network for looking at the report.",
        hidden_size=units,
        state_size=units,
        num_parameters=16_640 * (4 if "LSTM" in name else 1),
        curves=tuple(curves),
        spectrum=Spectrum(
            exponents,
            np.full(units, np.nan if index == 3 else 0.0004),
            predicted=exponents - 0.02 if index < 4 else None,
            sum_rule_residual=3e-9,
            num_all=units,
            notes=("The Jacobians are singular: some exponents are -inf.",) if index == 2 else (),
        ),
        regime=regime,
        log_gain=log_gain,
        lyapunov_times_horizon="undecided" if index == 7 else f"{rate * horizon:.2g} ± 0.1",
        recall_sum=float(recall[1:].sum()),
        recall_per_unit=float(recall[1:].sum() / units),
        noise_gain=float(-1 / (2 * rate)) if -1 < rate < 0 else 5.2e7,
        noise_gain_kind="stationary" if rate < 0 else "finite-time",
        singular_values=np.sort(rng.normal(log_gain if np.isfinite(log_gain) else -9, 2, units))[
            ::-1
        ]
        if index != 2
        else np.r_[-1.0, np.full(units - 1, -np.inf)],
        verdict=f"{name}: after 250 steps 37 % of the gradient and 41 % of the signal are left.",
        warnings=("Predictions assume independent weights: this one was trained.",)
        if index % 4 == 1
        else (),
        seconds=2.0 + 3.7 * index,
        settings={"steps": 5000, "burn_in": 200, "probe": 0.1, "seed": index},
        snippets={
            "JAX": "import echoic\n\ncell = echoic.cells.Elman(\n    1, 128,\n"
            "    recurrent=echoic.init.weakly_coupled(residual=0.996, coupling=0.05),\n"
            "    key=key,\n)",
            "PyTorch": "import torch\n\nrnn = torch.nn.RNN(1, 128)\nwith torch.no_grad():\n"
            "    rnn.weight_hh_l0.copy_(0.996 * torch.eye(128))",
        }
        if index < 4
        else {},
    )


def report(num_networks=12, *, horizon=250, max_lag=2000, units=128, seed=0):
    rng = np.random.default_rng(seed)
    names = [NAMES[i] if i < 12 else f"candidate {i}" for i in range(num_networks)]
    rates = [RATES[i] if i < 12 else -0.01 * i for i in range(num_networks)]
    networks = tuple(
        network(i, name, rate, horizon=horizon, max_lag=max_lag, units=units, rng=rng)
        for i, (name, rate) in enumerate(zip(names, rates, strict=True))
    )
    lags = np.arange(max_lag + 1)
    return ReportRecord(
        horizon=horizon,
        max_lag=max_lag,
        verdict="Needs 250 steps. The weakly coupled residual RNN reaches 250 (gain 0.37, recall"
        " 0.41); torch's default LSTM fades after 31.",
        networks=networks,
        signal=SignalRecord(
            name="MIT-BIH ECG, record 208",
            source="https://physionet.org/content/mitdb/1.0.0/",
            sha256="0f5c1e" * 10 + "abcd",
            length=20_000,
            num_sequences=1,
            channels=("MLII", "</script><img src=x onerror=alert(2)>"),
            sampling="360 Hz",
            scaling="standardised: zero mean, unit variance",
            mean=np.array([-0.3, np.nan]),
            standard_deviation=np.array([0.4, 1.0]),
            autocorrelation=np.exp(-lags / 40) * np.cos(2 * np.pi * lags / 250),
            licence="ODC-BY 1.0",
            citation="Moody GB, Mark RG (2001)",
        ),
        thresholds={"gain": 0.05, "recall": 0.1, "fisher": 0.05},
        settings={"seed": 0, "thorough": False, "equal": "units", "limit": float("inf")},
        versions={"echoic": "0.1.0", "jax": "0.10.2", "numpy": "2.4.6"},
        machine="2 CPU cores, x86_64, Linux",
        created="2026-11-21T05:00:00+00:00",
        command="echoic checkup --data ecg --horizon 250 --seed 0",
        seconds=123.4,
        citations={
            "Dubinin and Effenberger (2024)": "@article{dubinin2024,\n  title = {Fading memory as"
            " inductive bias in residual recurrent networks},\n  author = {Dubinin, Igor and"
            " Effenberger, Felix},\n  journal = {Neural Networks},\n  year = {2024}\n}",
            "Chen, Pennington, Schoenholz (2018)": "@inproceedings{chen2018,\n  title = {Dynamical"
            " isometry and a mean field theory of RNNs},\n  year = {2018}\n}",
        },
        warnings=(
            "The series is short for this measurement: the error is a rough one.",
            "The input repeats itself <b>every</b> 250 steps & more.",
        ),
    )


def broken():
    """A record in which hardly anything is known: NaN curves, no spectrum, odd names, lag 1."""
    lags = np.arange(2)
    unknown = np.full(2, np.nan)
    curves = (
        Curve(
            "gradient_reach",
            "gain",
            "measured",
            lags,
            unknown,
            unknown,
            unknown,
            Horizon(0.05, -1, 0, 0, False),
        ),
        Curve("linear_recall", "information", "measured", lags, np.array([np.inf, -np.inf])),
        Curve("</script><b>", "information", "measured", lags, np.array([0.5, 0.2])),
        Curve("input_reach", "gain", "measured", np.arange(0), np.zeros(0)),
    )
    nothing = NetworkRecord(
        name="%{x} <b>{{7*7}}</b> \x1b[31m \u202e \ud800 --> ]]>",
        family="",
        description="",
        hidden_size=1,
        state_size=1,
        num_parameters=0,
        curves=curves,
        spectrum=Spectrum(np.zeros(0), np.zeros(0)),
        regime=None,
        log_gain=np.nan,
        lyapunov_times_horizon="unknown",
        recall_sum=np.nan,
        recall_per_unit=np.nan,
        noise_gain=np.inf,
        noise_gain_kind="unknown",
        singular_values=np.array([-np.inf]),
        verdict="",
        warnings=("The trajectory left the finite numbers.",),
        seconds=0.0,
        settings={},
        snippets={"JAX\x07": "cell = 1  # </pre><script>alert(3)</script>\n"},
    )
    return ReportRecord(
        horizon=1,
        max_lag=1,
        verdict="",
        networks=(nothing,),
        signal=SignalRecord("", "", "", 0, 0, (), "", "", np.zeros(0), np.zeros(0), np.zeros(0)),
        thresholds={},
        settings={},
        versions={},
        machine="",
        created="",
        command="",
        seconds=0.0,
        citations={},
    )


def member(index, steps, rate, rng, chance, accuracy=True):
    at = np.linspace(steps // 40, steps, 40).astype(int)
    loss = 0.002 + 1.9 * chance * np.exp(-rate * at / steps) * np.exp(rng.normal(0, 0.05, 40))
    return MemberRecord(
        name=f"seed {index}" if index else f"seed 0 {HOSTILE}",
        steps=at,
        train_loss=loss * 0.9,
        validation_loss=loss,
        accuracy=np.clip(1 - loss / (2 * chance), 0, 1) if accuracy else np.full(40, np.nan),
        status="finished",
        best_step=int(at[np.argmin(loss)]),
        best_loss=float(loss.min()),
        test_loss=float(loss.min() * 1.1),
        test_accuracy=0.97 if accuracy else float("nan"),
    )


def demand(name, lags, scale, needed, last):
    """The two demands of a network that uses one lag, and little of others."""
    rise = scale * np.where(lags == needed, 1.0, 0.02 * np.exp(-lags / 4.0))
    error = 0.01 * scale * np.ones(lags.size)
    gradient = np.exp(-lags / (4.0 if last < needed else 60.0))
    about = {"panel": "demand", "origin": "measured", "lags": lags}
    used = int(lags[rise - 2 * error >= 0.05 * rise.max()][-1])
    return (
        Curve(
            "context_ablation",
            value=rise,
            standard_error=error,
            horizon=Horizon(0.05, used, 1, int(lags[rise.argmax()]), False),
            notes=(f"Of {name}.",),
            **about,
        ),
        Curve("context_ablation_from", value=np.maximum.accumulate(rise[::-1])[::-1], **about),
        Curve(
            "task_gradient_reach",
            value=gradient,
            standard_error=0.05 * gradient,
            horizon=Horizon(0.05, last, last + 1, 0, False),
            **about,
        ),
        Curve(
            "solver_ablation",
            "demand",
            "reference",
            lags,
            scale * (lags == needed),
        ),
    )


def training(seeds=3, *, chance=0.26, accuracy=True, steps=2000, seed=0):
    """The report of a training run: two networks, before and after."""
    rng = np.random.default_rng(seed)
    made = report(2, horizon=70, max_lag=75, units=24, seed=seed)
    lags = np.r_[np.arange(17), 20, 30, 50, 60, 69, 70, 71, 75]
    before, after = (
        dataclasses.replace(
            network,
            name=name,
            curves=(*network.curves, *demand(name, lags, scale, 70, last)),
        )
        for network, name, scale, last in zip(
            made.networks[::-1],
            ("before training", "after training"),
            (0.01, 1.9),
            (11, 70),
            strict=True,
        )
    )
    record = TrainingRecord(
        task="copy",
        description="Copy 10 symbols of 8 kinds, asked 70 steps after they were shown.",
        loss="cross_entropy" if accuracy else "mean_squared_error",
        unit="nats" if accuracy else "squared error",
        chance=chance,
        members=tuple(
            member(i, steps, 4 + rng.normal(0, 1), rng, 0.26, accuracy) for i in range(seeds)
        ),
        needed=70,
        needed_by="the task itself",
        reached=74,
        reached_by="gradient reach",
        sentence="The task needs lag 70; the network reaches 74.",
    )
    return dataclasses.replace(made, networks=(before, after), training=record)
