"""``echoic train``: a network, or several seeds of it, trained on a task."""

import pathlib
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from echoic.cli.checkup import Flag, Names, Whole, whole
from echoic.cli.settings import parsed_options, refuse_used_folder, write_settings
from echoic.cli.watch import Watch

if TYPE_CHECKING:
    from echoic.training import TrainingRun

MaybeWhole = Annotated[int | None, Parameter(converter=whole)]


def command(
    task: str | None = None,
    *,
    set: Names = None,
    cell: str = "elman",
    init: str = "default",
    activation: str | None = None,
    hidden: Whole = 128,
    layers: Whole = 1,
    bidirectional: Flag = False,
    embedding: MaybeWhole = None,
    tied: Flag = False,
    dropout: float = 0.0,
    steps: Whole = 2000,
    batch: Whole = 64,
    seeds: Whole = 1,
    seed: Whole = 0,
    optimiser: str = "adam",
    learning_rate: Annotated[float, Parameter(alias="--lr")] = 1e-3,
    clip: float | None = 1.0,
    schedule: str = "constant",
    warmup: Whole = 0,
    decay_every: MaybeWhole = None,
    weight_decay: float = 0.0,
    every: MaybeWhole = None,
    patience: MaybeWhole = None,
    target_loss: float | None = None,
    diagnose: MaybeWhole = None,
    checkpoint_seconds: float = 60.0,
    keep: Whole = 2,
    horizon: MaybeWhole = None,
    measure: Annotated[bool, Parameter(negative="--no-measure")] = True,
    track: Names = None,
    config: pathlib.Path | None = None,
    resume: Flag = False,
    output: Annotated[pathlib.Path | None, Parameter(alias="-o")] = None,
    json: Flag = False,
) -> int:
    """Train a network on a task, or several seeds of it, and show what it learned to remember.

    Writes a folder: run.toml (these settings), config.json, metrics.csv, checkpoints, the best
    network of each seed, report.html and report.json. `echoic checkup FOLDER` measures the network.

    Parameters
    ----------
    task
        The task; `echoic train list` shows all of them with their options.
    set
        Options of the task: --set delay=60 alphabet=4.
    cell
        The kind of cell: elman, residual, minimal_rnn, gru, lstm, peephole_lstm, linear, ...
    init
        default, a built-in kind (orthogonal, identity, chain, chrono, heterogeneous, ...), or
        design: the best prescription of the cell's family for the horizon; design/chain, ...
    activation
        Of an Elman network: tanh, relu, elu, modrelu, identity.
    hidden
        Units of each layer.
    layers
        Layers, one above the other.
    bidirectional
        Read every sequence in both directions.
    embedding
        Symbols become vectors of so many learned numbers; else they are one-hot.
    tied
        The readout shares the embedding's matrix.
    dropout
        The share of numbers left out between layers while training.
    steps
        Updates.
    batch
        Sequences an update.
    seeds
        How many networks, each with weights and data of its own.
    seed
        Seed of all random numbers.
    optimiser
        adam, rmsprop or sgd.
    learning_rate
        Its learning rate.
    clip
        Longer gradients, over all weights together, are scaled down to this; 0 for never.
    schedule
        Of the learning rate: constant, cosine or step.
    warmup
        Updates over which the learning rate rises at first.
    decay_every
        With --schedule step: a tenth of the rate after so many updates, again and again.
    weight_decay
        Decoupled weight decay.
    every
        Updates between two lines of the table, each with a look at held-out sequences.
    patience
        Stop after so many updates without a better validation loss.
    target_loss
        Stop once the validation loss is so low.
    diagnose
        Measure exponent, gradient reach and roughness of the loss every so many updates.
    checkpoint_seconds
        Time between two checkpoints.
    keep
        Checkpoints to keep.
    horizon
        Steps that the network shall remember, for --init and the report; by default what the task
        states.
    measure
        Measure for the report what the task asks of memory, and the memory before and after.
    track
        Send metrics to tensorboard or wandb as well.
    config
        A .toml file with any of these settings; the command line goes first.
    resume
        Go on with the run in the output folder, bit for bit.
    output
        The folder; by default runs/TASK.
    json
        Print report.json on standard output, and nothing else.
    """
    settings = {name: value for name, value in locals().items() if name not in _NOT_KEPT}
    if task is None:
        raise ValueError("name a task: `echoic train list` shows them.")
    if task == "list":
        return _list()
    folder = pathlib.Path("runs", task) if output is None else output
    if not resume:
        refuse_used_folder(folder)
    with Watch(folder, quiet=json) as watch:
        watch.says("preparing the task")
        import jax.random as jr

        from echoic import tasks, training
        from echoic.core.checks import at_least
        from echoic.diagnosis.networks import Kind, build_network
        from echoic.training.events import Event, Started

        key = jr.key(at_least("seed", seed, 0, 2**32 - 1))
        horizon = None if horizon is None else at_least("horizon", horizon, 1)
        kind = Kind(cell, init, activation)
        chosen = tasks.build(task, **parsed_options(set or []))
        watch.announce(chosen)
        rule = training.Optimiser(
            optimiser,  # pyright: ignore[reportArgumentType]
            learning_rate=learning_rate,
            clip=clip or None,
            schedule=schedule,  # pyright: ignore[reportArgumentType]
            warmup=warmup,
            decay_every=decay_every,
            weight_decay=weight_decay,
        )
        recipe = kind.recipe(chosen, hidden, horizon, seed=seed)

        def keep_settings(event: Event) -> None:
            # Not before all is found to fit: what was refused leaves nothing behind.
            if isinstance(event, Started):
                write_settings(folder, settings)

        try:
            run = training.train(
                lambda key: build_network(
                    recipe,
                    chosen,
                    hidden_size=hidden,
                    layers=layers,
                    bidirectional=bidirectional,
                    embedding=embedding,
                    tied=tied,
                    dropout=dropout,
                    key=key,
                ),
                chosen,
                steps=steps,
                batch=batch,
                seeds=at_least("seeds", seeds, 1),
                optimiser=rule,
                every=every,
                patience=patience,
                target_loss=target_loss,
                diagnostics=training.Diagnostics(every=diagnose) if diagnose else None,
                checkpoint_seconds=checkpoint_seconds,
                keep=keep,
                folder=folder,
                resume=resume,
                observers=[keep_settings, watch.event, *_trackers(track or [], folder)],
                key=key,
            )
        except KeyboardInterrupt:
            return watch.stopped()
        return _report(run, chosen, watch, horizon=horizon, measure=measure, key=jr.fold_in(key, 1))


_NOT_KEPT = ("config", "resume", "json")


def _report(
    run: "TrainingRun", task: Any, watch: Watch, *, horizon: int | None, measure: bool, key: Any
) -> int:
    """Measure what was learned, write the pages, print the table. The exit code."""
    from echoic import diagnosis
    from echoic.diagnosis.training_report import training_report

    report = training_report(
        run,
        task,
        horizon=horizon,
        demand=measure,
        memory=measure,
        command=watch.command_line,
        progress=diagnosis.Progress(watch.stage, lambda *_: None, lambda *_: None),
        key=key,
    )
    return watch.finished(run, report)


def _trackers(names: list[str], folder: pathlib.Path) -> list[Any]:
    from echoic.training import trackers

    return [trackers.by_name(name, folder) for name in names]


def _list() -> int:
    """All tasks, a line each, and their options."""
    import rich
    from rich.table import Table

    from echoic import tasks

    table = Table("task", "what is asked", "options", box=None, pad_edge=False)
    for name, build in tasks.TASKS.items():
        options = ", ".join(
            key if value is None else f"{key}={value}" for key, value in tasks.options(name).items()
        )
        sentence = (build.__doc__ or "").strip().split("\n")[0]
        table.add_row(name, sentence, options)
    rich.print(table)
    return 0
