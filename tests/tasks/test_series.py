"""Recordings cut by time: windows, burn-in and scale by hand; and the ways to leak."""

import numpy as np
import pytest

from echoic.tasks import Forecasting, SystemIdentification

RNG = np.random.default_rng(0)
# The input counts its own steps; the output is the input three steps ago, times ten.
U = np.arange(1000.0)
Y = 10 * np.r_[np.zeros(3), U[:-3]]


def steps(task, part, scale):
    """The numbers of a part in the units of the data, by window."""
    return np.asarray(part, float)[:, :, 0] * scale.deviation[0] + scale.mean[0]


def test_windows_are_cut_so_that_each_step_counts_once():
    task = SystemIdentification((U, Y), length=50, burn_in=10, validation=0.2, test=0.1)
    inputs = steps(task, task.train.inputs, task.scales[0])
    # 700 steps to train on: windows from 0, 40, .., 640.
    assert inputs.shape == (17, 50)
    assert np.allclose(inputs, 40 * np.arange(17)[:, None] + np.arange(50), atol=1e-2)
    targets = steps(task, task.train.targets, task.scales[1])
    assert np.allclose(targets[1], 10 * (inputs[1] - 3), atol=1e-1)
    weights = np.asarray(task.train.weights)
    assert (weights == (np.arange(50) >= 10)).all()
    counted = inputs[weights > 0].round().astype(int)
    assert len(set(counted)) == len(counted) == 17 * 40


def test_the_test_is_one_run_after_everything_else():
    task = SystemIdentification((U, Y), length=50, burn_in=10, validation=0.2, test=0.1, gap=5)
    seen = [
        steps(task, part.inputs, task.scales[0]).round().astype(int)
        for part in (task.train, task.validation, task.test)
    ]
    assert seen[2].tolist() == [list(range(900, 1000))]
    assert np.asarray(task.test.weights)[0].tolist() == [0] * 10 + [1] * 90
    assert seen[0].max() < 690
    assert (seen[1].min(), seen[1].max() < 895) == (695, True)
    parts = [set(part.ravel()) for part in seen]
    assert not parts[0] & parts[1]
    assert not parts[1] & parts[2]


def test_the_scale_is_that_of_the_training_part_alone():
    quiet, loud = RNG.normal(2, 1, 700), RNG.normal(2, 9, 300)
    u = np.r_[quiet, loud]
    task = SystemIdentification((u, 5 * u), length=50, burn_in=0, validation=0.1, test=0.2)
    assert task.scales[0].mean[0] == pytest.approx(quiet.mean())
    assert task.scales[1].deviation[0] == pytest.approx(5 * quiet.std())
    # Of all the data it would be another one.
    assert abs(u.std() / quiet.std() - 1) > 1
    assert np.asarray(task.test.inputs).std() == pytest.approx(9, rel=0.2)
    assert task.chance == pytest.approx(np.asarray(task.train.targets).var(), rel=1e-5)
    assert task.rmse(1.0) == pytest.approx(5 * quiet.std())
    assert task.rmse(0.25) == pytest.approx(2.5 * quiet.std())


def test_a_stride_of_ones_own_and_several_channels():
    u = RNG.normal(size=(400, 2))
    task = SystemIdentification((u, u[:, :1]), length=30, burn_in=5, stride=7)
    assert task.train.inputs.shape == (1 + (280 - 30) // 7, 30, 2)
    assert (task.input_size, task.output_size) == (2, 1)
    both = SystemIdentification((u, u), length=30, burn_in=5)
    with pytest.raises(ValueError, match="2 channels has no unit"):
        both.rmse(1.0)


def test_means_of_several_steps():
    u = RNG.normal(size=1003)
    task = SystemIdentification((u, u), average=10, length=14, burn_in=0)
    whole = u[:1000].reshape(100, 10).mean(1)
    assert np.allclose(steps(task, task.train.inputs, task.scales[0])[0], whole[:14], atol=1e-6)


def test_columns_of_a_file(tmp_path):
    path = tmp_path / "plant.csv"
    rows = np.c_[U, Y, RNG.normal(size=1000)]
    np.savetxt(path, rows, delimiter=",", header="time,level,valve", comments="")
    task = SystemIdentification(path, input_column="valve", output_column="level", length=60)
    assert task.scales[0].mean[0] == pytest.approx(rows[:700, 2].mean(), abs=1e-6)
    assert "plant.csv" in task.description
    with pytest.raises(ValueError, match="say with input_column and output_column"):
        SystemIdentification(path, input_column="valve")


def test_a_forecast_is_the_series_later():
    series = RNG.normal(size=600).cumsum()
    task = Forecasting(series, ahead=7, length=40, burn_in=4, validation=0.2, test=0.1)
    for part, (start, stop) in zip(
        (task.train, task.validation, task.test), ((0, 412), (416, 536), (540, 600)), strict=True
    ):
        inputs, targets = (steps(task, values, task.scale) for values in part[:2])
        rows = 36 * np.arange(len(inputs))[:, None] + np.arange(inputs.shape[1])
        assert np.allclose(inputs, series[start + rows], atol=1e-4)
        assert np.allclose(targets, series[start + rows + 7], atol=1e-4)
        # No target reaches beyond its own part.
        assert start + rows.max() + 7 < stop
        assert not np.allclose(targets, series[start + rows + 6], atol=1e-4)
    test = series[540:600]
    wanted = np.mean((test[7 + 4 :] - test[4:-7]) ** 2) / task.scale.deviation[0] ** 2
    assert task.persistence == pytest.approx(wanted, rel=1e-4)


def test_the_bundled_heart():
    task = Forecasting(ahead=10)
    assert task.train.inputs.shape == (215, 400, 1)
    assert task.chance == pytest.approx(1, abs=0.1)
    assert "ecg" in task.description
    counted = np.asarray(task.train.targets, float)[:, 50:]
    assert task.chance == pytest.approx(counted.var(), rel=1e-5)


def test_silverbox_in_its_published_split(data_dir):
    with np.load(f"{data_dir}/silverbox.npz") as stored:
        u, y = stored["u"].astype(float), stored["y"].astype(float)
    task = SystemIdentification("silverbox", data_dir=data_dir)
    first = 105712 - round(0.15 * 65062)
    assert task.scales[1].deviation[0] == pytest.approx(y[40650:first].std())
    assert np.allclose(steps(task, task.test.targets, task.scales[1])[0], y[100:40575], atol=1e-6)
    assert np.allclose(
        steps(task, task.train.inputs, task.scales[0])[3], u[40650 + 1050 : 40650 + 1450], atol=1e-6
    )
    # The arrow leaves the range of what is trained on.
    assert np.abs(y[100:40575]).max() > 1.05 * np.abs(y[40650:105712]).max()
    assert "published split" in task.description
    other = SystemIdentification("silverbox", test_part="multisine", data_dir=data_dir)
    assert other.test.inputs.shape == (1, 21688, 1)


def test_the_grasshopper(data_dir):
    task = SystemIdentification("grasshopper", average=20, data_dir=data_dir)
    assert task.test.inputs.shape == (1, 1500, 1)


BAD = U.copy()
BAD[17] = np.nan


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((U, Y[:-1]), {}, "the input has 1000 steps and the output 999"),
        ((BAD, Y), {}, r"the input holds 1 numbers that are NaN or infinite, the first at \(17,\)"),
        ((U, np.ones(1000)), {}, "the output is constant over the training part"),
        ((U, Y), {"length": 800}, "the train part has 700 steps, fewer than length=800"),
        ((U, Y), {"length": 200}, "the validation part has 150 steps, fewer than length=200"),
        ((U, Y), {"length": 20, "burn_in": 20}, r"burn_in must lie in 0\.\.19"),
        ((U, Y), {"validation": 0.6, "test": 0.4}, "leave 0, 600 and 400 to train"),
        ((U, Y), {"test": 0.0}, "leave 850, 150 and 0 to train"),
        ((U, Y), {"test": 0.04, "length": 60}, "the test part has 40 steps, burn_in=50"),
        ((U, Y), {"average": 2000}, "average=2000 steps are more than the 1000"),
        ((U, Y), {"input_column": "u"}, "an array has no columns"),
        ((U, Y), {"test_part": "multisine"}, "is for Silverbox"),
        (U, {}, "or a tuple of arrays"),
        ((np.ones((2, 3, 4)), Y), {}, r"must have shape \(t,\) or \(t, m\)"),
    ],
)
def test_recordings_that_do_not_fit(data, options, message):
    with pytest.raises(ValueError, match=message):
        SystemIdentification(data, **options)


def test_what_is_no_single_recording(data_dir):
    with pytest.raises(ValueError, match="is a text"):
        Forecasting("tinyshakespeare", data_dir=data_dir)
    with pytest.raises(ValueError, match="is a set of sequences"):
        Forecasting("japanese_vowels", data_dir=data_dir)
