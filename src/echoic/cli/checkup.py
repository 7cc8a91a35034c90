"""``echoic checkup``: how far back a network, or each built-in kind of one, remembers."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from echoic.cli.run_folder import network_in, open_run
from echoic.cli.session import Session


def whole(kind: Any, tokens: Sequence[Token]) -> int:
    """A whole number; the parser of options would round 2.5 to 2 without a word."""
    return int(tokens[0].value)


Whole = Annotated[int, Parameter(converter=whole)]
Names = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def command(
    model: str | None = None,
    /,
    *,
    data: str | None = None,
    horizon: Annotated[int | None, Parameter(converter=whole)] = None,
    hidden: Whole = 128,
    cell: Names = None,
    init: Names = None,
    equal: str = "units",
    column: str | None = None,
    scale: Annotated[bool, Parameter(negative="--no-scale")] = True,
    max_lag: Annotated[int | None, Parameter(converter=whole)] = None,
    seed: Whole = 0,
    thorough: Flag = False,
    advice: Annotated[bool, Parameter(negative="--no-advice")] = True,
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    resume: Flag = False,
    nonlinearity: Literal["tanh", "relu"] | None = None,
    prefix: str | None = None,
    data_dir: pathlib.Path | None = None,
    output: Annotated[pathlib.Path, Parameter(alias="-o")] = pathlib.Path(),
    json: Flag = False,
) -> int:
    """Measure how far back a network remembers under a signal.

    Without MODEL the built-in kinds of network are compared. Prints a table and writes
    report.html and report.json.

    Parameters
    ----------
    model
        A saved network: a .safetensors file written by echoic, or the state_dict of a
        torch.nn.RNN, GRU or LSTM saved as safetensors. Or the folder of `echoic train`: then the
        input and the horizon are by default those of its task.
    data
        A data set by name (see `echoic data list`), or a .npy, .npz, .csv, .txt or .parquet file;
        by default ecg.
    horizon
        How many steps back the network must remember; by default 250, one heartbeat of the ECG.
    hidden
        Units of the built-in networks.
    cell
        Only these kinds of cell: elman, lstm, gru, minimal_rnn, residual.
    init
        Only these initialisations: default, orthogonal, identity, chain, feedback_chain, chrono,
        homogeneous, heterogeneous.
    equal
        What the built-in networks have in common: units, parameters or state.
    column
        The column of the file, by name or number; several with commas.
    scale
        Give every channel zero mean and unit variance.
    max_lag
        The largest lag measured; by default eight horizons, at most 2,000.
    seed
        Seed of all random numbers.
    thorough
        Nine times the samples: error bars a third as wide where the signal is long enough.
    advice
        Place a saved network on the phase diagram of its family and, if it misses the horizon,
        measure the nearest prescriptions beside it.
    everything
        Ask every measure that there is of the network, of the best one where several are compared:
        exponents, matrices, attractors, smoothness, what carries the memory. Some minutes.
    resume
        Go on from an interrupted run with the same settings in the same output folder.
    nonlinearity
        Of a torch.nn.RNN, whose file does not tell; tanh if not given.
    prefix
        Which recurrent module of a torch file, as in "encoder.".
    data_dir
        Where data sets lie; else $ECHOIC_DATA, the user's cache, the package.
    output
        The folder for report.html and report.json.
    json
        Print report.json on standard output, and nothing else.
    """
    _refuse_what_would_be_ignored(
        model is None,
        cell=cell,
        init=init,
        nonlinearity=nonlinearity,
        prefix=prefix,
        no_advice=None if advice else True,
    )
    with Session(output, quiet=json) as session:
        session.says("reading the data")
        from echoic import data as sources

        folder = pathlib.Path(model) if model and pathlib.Path(model).is_dir() else None
        if folder is not None and data is None:
            opened = open_run(folder)
            series, digest, scale = opened.inputs, _digest(str(opened.network)), False
            horizon = opened.horizon if horizon is None else horizon
        else:
            series = sources.load(data or "ecg", column=column, data_dir=data_dir)
            digest = series.sha256
        horizon = 250 if horizon is None else horizon
        model = model if folder is None else str(network_in(folder))
        session.says("starting JAX")
        import jax.random as jr

        from echoic import checkup, compare, diagnosis, load
        from echoic.core.checks import at_least

        # What must be the same for a stopped run to be taken up again.
        session.request = {
            "model": model if model is None else _digest(model),
            "nonlinearity": nonlinearity,
            "prefix": prefix,
            "data": digest,
            "column": column,
            "horizon": horizon,
            "hidden": hidden,
            "equal": equal,
            "scale": scale,
            "max_lag": max_lag,
            "seed": seed,
            "thorough": thorough,
            "advice": advice,
            "all": everything,
        }
        options: dict[str, Any] = {
            "horizon": horizon,
            "key": jr.key(at_least("seed", seed, 0, 2**32 - 1)),
            "scale": "standardise" if scale else None,
            "max_lag": max_lag,
            "thorough": thorough,
            "everything": everything,
            "command": session.command_line,
            "progress": diagnosis.Progress(session.stage, session.done, session.begins),
            "known": session.known() if resume else None,
        }
        try:
            if model is None:
                chosen = diagnosis.select(cell, init)
                session.begins(len(chosen))
                report = compare(chosen, series, hidden_size=hidden, equal=equal, **options)
            else:
                with session.notes():
                    network = load(model, nonlinearity=nonlinearity, prefix=prefix)
                name = folder.name if folder else pathlib.Path(model).stem
                report = checkup(network, series, name=name, advise=advice, **options)
        except KeyboardInterrupt:
            return session.stopped()
        return session.finished(report)


def _refuse_what_would_be_ignored(compares: bool, **options: Any) -> None:
    """Options that mean nothing here are a mistake: better told than ignored."""
    names = ("nonlinearity", "prefix", "no_advice") if compares else ("cell", "init")
    given = [f"--{name.replace('_', '-')}" for name in names if options[name] is not None]
    if given:
        raise ValueError(
            f"{' and '.join(given)} speak{'s' if len(given) == 1 else ''} of"
            + (" a saved network: name its file." if compares else " the built-in networks.")
        )


def _digest(model: str) -> str:
    """The checksum of a model's file: a network that was trained further is another one."""
    path = pathlib.Path(model)
    if path.exists() and not path.is_dir() and not path.is_file():
        raise ValueError(f"{model} is no regular file.")
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else model
