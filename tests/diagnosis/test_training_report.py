"""From a run to its report, with networks whose memory is known because it was built by hand."""

import types

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import echoic
from echoic import Network, cells, reports, tasks
from echoic.core.cell import without_law
from echoic.core.task import AbstractDataTask, Batch
from echoic.diagnosis.task_sequences import held_out
from echoic.diagnosis.training_report import AFTER, BEFORE, training_report
from echoic.training import History

BACK, SYMBOLS = 3, 4
TASK = tasks.NBack(BACK, length=12, num_symbols=SYMBOLS)
KEY = jr.key(0)


def delay_line(back=BACK, gain=30.0):
    """Answers at every step with its input of ``back`` steps before."""
    size = SYMBOLS * (BACK + 1)

    def build(key):
        cell = cells.Elman(SYMBOLS, size, activation="identity", key=key)
        return Network(cell, cells.Readout(size, SYMBOLS, key=key))

    skeleton = without_law(eqx.filter_eval_shape(build, key=KEY))
    entry = np.eye(size, SYMBOLS)
    values = (
        np.eye(size, k=-SYMBOLS), entry, np.zeros(size),
        gain * np.eye(SYMBOLS, size, SYMBOLS * back), np.zeros(SYMBOLS),
    )  # fmt: skip
    return eqx.tree_at(
        lambda n: (
            n.cells[0].recurrent, n.cells[0].input, n.cells[0].bias,
            n.readout.weight, n.readout.bias,
        ),
        skeleton,
        tuple(jnp.asarray(value, jnp.float32) for value in values),
    )  # fmt: skip


def a_run(after, *, before=None, test_loss=(0.01,), loss="cross_entropy", **more):
    """What `train` returns, made up."""
    count = len(test_loss)
    rows = [
        {"step": step, "member": member, "train_loss": 1 / step, "validation_loss": 1.1 / step}
        for step in (10, 20)
        for member in range(count)
    ]
    return types.SimpleNamespace(
        networks=(after,) * count,
        initial=(before or after,) * count,
        history=History.of(rows),
        outcomes=tuple(types.SimpleNamespace(sentence="finished") for _ in range(count)),
        best_loss=np.full(count, 0.055),
        best_step=np.full(count, 20),
        test_loss=np.array(test_loss),
        test_accuracy=np.full(count, np.nan),
        chance=1.386,
        config={"loss": loss, "seeds": list(range(count)), "steps": 20, "batch": 8},
        **more,
    )


def report(run, task=TASK, **options):
    return training_report(run, task, key=KEY, memory=False, **options).record


@pytest.fixture(scope="module")
def solved():
    return report(a_run(delay_line(), before=delay_line(gain=0.0), test_loss=(0.01, 0.02)))


def test_a_perfect_memory_reaches_what_its_task_needs(solved):
    training = solved.training
    assert (training.needed, training.reached) == (BACK, BACK)
    assert training.needed_by == "stated by the task"
    assert training.sentence == "The task needs lag 3; the network reaches 3."
    assert solved.horizon == BACK
    before, after = solved.networks
    assert (before.name, after.name) == (BEFORE, AFTER)
    rise = after.curve("context_ablation")
    assert np.flatnonzero(rise.value).tolist() == [BACK]
    assert rise.horizon.last == BACK
    assert before.curve("context_ablation").horizon.last == -1
    whole = after.curve("context_ablation_from").value
    assert np.all(whole[: BACK + 1] > 10)
    assert not np.any(whole[BACK + 1 :])
    # The solver is as certain as it is, and drawn at the network's height.
    solver = after.curve("solver_ablation", "reference")
    assert np.flatnonzero(solver.value).tolist() == [BACK]
    assert solver.value.max() == pytest.approx(rise.value.max())
    assert before.curve("solver_ablation", "reference") is None


def test_a_delay_line_passes_the_gradient_back_to_the_step_it_reads(solved):
    reach = solved.networks[1].curve("task_gradient_reach")
    assert np.allclose(reach.value[: BACK + 1], 1, rtol=1e-5)
    assert not np.any(reach.value[BACK + 1 :])
    assert reach.horizon.last == BACK


def test_the_verdict_sets_the_loss_beside_chance(solved):
    assert solved.verdict.startswith(
        "Trained on n_back, 2 seeds: test loss 0.01 to 0.02 nats, where"
    )
    assert "where chance is 1.4. The task needs lag 3" in solved.verdict
    assert [m.name for m in solved.training.members] == ["seed 0", "seed 1"]
    assert solved.training.members[1].steps.tolist() == [10, 20]
    assert solved.settings["steps"] == 20
    assert "Khandelwal et al. 2018" in solved.citations


def test_it_is_shown_saved_and_read_back(solved, tmp_path):
    report = echoic.Report(solved)
    for ending in (".json", ".html", ".svg"):
        assert report.save(tmp_path / f"report{ending}").stat().st_size > 1000
    assert reports.load(tmp_path / "report.json").training.sentence == solved.training.sentence
    assert "context used" in str(report)


def test_what_a_network_answers_to_in_vain_is_no_reach():
    wrong = report(a_run(delay_line(back=1), before=delay_line()))
    assert wrong.training.sentence == "The task needs lag 3; the network reaches none."
    assert "its loss uses inputs at no lag" in wrong.training.reached_by


def test_a_network_that_has_not_learned_shows_no_need_of_its_task():
    found = report(a_run(delay_line(), test_loss=(1.38,)), Own()).training
    assert found.sentence == "What the task needs is not known; the network has not learned it."
    assert found.needed == -1
    found = report(a_run(delay_line(), test_loss=(np.nan,))).training
    assert found.sentence == "The task needs lag 3; the network has not learned it."


class Own:
    """A task of one's own: the same, without a name, a lag or a solver."""

    input_size = output_size = SYMBOLS

    def sample(self, key, batch):
        return tuple(TASK.sample(key, batch))


class Solved(Own):
    def solve(self, inputs):
        return TASK.solve(inputs)


def test_what_a_task_needs_is_told_by_its_solver_or_by_the_network():
    found = report(a_run(delay_line()), Solved()).training
    assert found.needed == BACK
    assert found.needed_by == "the last lag that its perfect solver uses"
    assert found.task == "Solved"
    found = report(a_run(delay_line()), Own()).training
    assert found.sentence == "The task needs lag 3 or more; the network reaches 3."
    found = report(a_run(delay_line(gain=0.0)), Own()).training
    assert found.sentence.startswith("No lag of the input makes a difference to the loss")


def test_without_measurements_the_report_is_ready_at_once():
    found = report(a_run(delay_line()), demand=False)
    assert found.training.sentence == "The task needs lag 3."
    assert not found.networks
    assert report(a_run(delay_line()), Own(), demand=False).training.sentence == ""


def test_members_that_diverged_are_told():
    found = report(a_run(delay_line(), test_loss=(0.5, np.nan)), demand=False)
    assert "test loss 0.5 nats for 1 of them" in found.verdict
    found = report(a_run(delay_line(), test_loss=(np.nan,)), demand=False)
    assert "no member has a finite test loss" in found.verdict


def test_a_loss_of_ones_own_has_to_be_passed():
    def halved(predictions, targets):
        chances = jax.nn.log_softmax(predictions)
        return -0.5 * jnp.take_along_axis(chances, targets[..., None], -1)[..., 0]

    run = a_run(delay_line(), loss="halved")
    with pytest.raises(ValueError, match="loss of its own, halved: pass loss="):
        report(run)
    found = report(run, loss=halved)
    assert found.training.unit == "its own unit"
    assert found.training.needed == BACK


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match=r"member must lie in 0\.\.0"):
        report(a_run(delay_line()), member=1)
    with pytest.raises(ValueError, match="pass task="):
        report(a_run(delay_line()), None)
    assert report(a_run(delay_line(), task=TASK), None, demand=False).training.task == "n_back"


class Set(AbstractDataTask):
    """Sequences whose numbers tell which part they belong to."""

    name = "set"
    loss = "mean_squared_error"
    input_size: int = 1
    output_size: int = 1
    train: Batch = None
    validation: Batch = None
    test: Batch = None

    def sample(self, key, batch):
        raise AssertionError("the training part is not for measuring")

    @property
    def chance(self):
        return 1.0


@pytest.mark.slow
def test_sequences_were_not_trained_on():
    parts = [
        Batch(jnp.full((9, 5, 1), float(part)), jnp.full((9, 1), float(part))) for part in range(3)
    ]
    found = held_out(Set(train=parts[0], validation=parts[1], test=parts[2]), 6, key=KEY)
    assert found.inputs.shape == (6, 5, 1)
    assert np.all(found.inputs == 1)
    assert len(held_out(Set(validation=parts[1]), 99, key=KEY).inputs) == 9

    class Images(Own):
        def held_out(self, split):
            assert split == "validation"
            return TASK

    assert held_out(Images(), 7, key=KEY).inputs.shape == (7, 12)


@pytest.mark.slow
def test_rows_of_a_text_are_joined_from_its_segments():
    text = tasks.Text(text="abcdefgh" * 100, segment_length=10, validation=0.5, test=0.1)
    found = held_out(text, 4, key=KEY, length=25)
    assert found.inputs.shape == (4, 30)
    # Every row goes on where its segment before ended.
    assert np.all((np.diff(np.asarray(found.inputs), axis=1) % 8) == 1)
    assert np.array_equal(found.inputs[:, 1:], found.targets[:, :-1])
    few = held_out(text, 1000, key=KEY, length=25)
    assert few.inputs.shape[1] == 30
    assert few.inputs.shape[0] <= 400 // 30


@pytest.mark.slow
def test_a_real_run_with_memory_before_and_after():
    task = tasks.NBack(2, length=20, num_symbols=3)
    run = echoic.train(
        lambda key: cells.GRU(3, 16, key=key), task, steps=300, batch=32, key=KEY,
        optimiser=echoic.Optimiser(learning_rate=0.02),
    )  # fmt: skip
    found = training_report(run, task, key=KEY).record
    before, after = found.networks
    assert found.training.sentence.startswith("The task needs lag 2; the network reaches")
    assert found.training.reached >= 2
    for quantity in ("gradient_reach", "linear_recall", "context_ablation", "task_gradient_reach"):
        assert after.curve(quantity) is not None
    # Symbols drawn afresh: the recall is that of the input itself.
    assert after.curve("linear_recall").at(2) > before.curve("linear_recall").at(2)
    assert found.signal.name == "n_back"
    assert after.spectrum is not None
    assert np.isnan(after.noise_gain)
    assert not any("Fisher" in text for text in after.warnings)


@pytest.mark.slow
def test_models_without_a_step_are_measured_by_their_loss_alone():
    task = tasks.NBack(2, length=20, num_symbols=3)

    def build(key):
        pair = tuple(cells.GRU(3, 8, key=one) for one in jr.split(key))
        return cells.Bidirectional([pair], cells.Readout(16, 3, key=key))

    run = echoic.train(
        build, task, steps=200, batch=32, key=KEY, optimiser=echoic.Optimiser(learning_rate=0.02),
    )  # fmt: skip
    found = training_report(run, task, key=KEY).record
    assert "no state that is carried" in found.warnings[0]
    assert found.networks[1].curve("context_ablation").horizon.last >= 2
    assert found.networks[1].curve("task_gradient_reach") is None
    reports.to_html(found)
    reports.to_text(found)
