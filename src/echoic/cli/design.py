"""``echoic design``: what to build so that a network remembers so many steps."""

import pathlib
from typing import Annotated, Any

from cyclopts import Parameter

from echoic.cli.checkup import Flag, Names, Whole
from echoic.cli.session import Session


def command(
    *,
    data: str = "ecg",
    horizon: Whole = 250,
    hidden: Whole = 128,
    family: Names = None,
    measure: Whole = 6,
    column: str | None = None,
    scale: Annotated[bool, Parameter(negative="--no-scale")] = True,
    seed: Whole = 0,
    save: pathlib.Path | None = None,
    map: Flag = False,
    resume: Flag = False,
    data_dir: pathlib.Path | None = None,
    output: Annotated[pathlib.Path, Parameter(alias="-o")] = pathlib.Path(),
    json: Flag = False,
) -> int:
    """Prescribe networks that remember so many steps of a signal, and measure the best ones.

    Prints a table and writes design.html and design.json.

    Parameters
    ----------
    data
        A data set by name (see `echoic data list`), or a .npy, .npz, .csv, .txt or .parquet file.
    horizon
        How many steps back the network must remember. 250 steps are one heartbeat of the ECG.
    hidden
        Units of the network.
    family
        Only these: elman, residual, linear, minimal_rnn, gru, lstm, or one initialisation of
        them, such as elman/chain.
    measure
        How many to build and measure: the best of each family first.
    column
        The column of the file, by name or number; several with commas.
    scale
        Give every channel zero mean and unit variance.
    seed
        Seed of all random numbers.
    save
        Write the best network to this .safetensors file; `echoic.load` reads it.
    map
        Draw the predicted horizon around the best network: phase_map.svg and phase_map.png.
    resume
        Go on from an interrupted run with the same settings in the same output folder.
    data_dir
        Where data sets lie; else $ECHOIC_DATA, the user's cache, the package.
    output
        The folder for design.html and design.json.
    json
        Print design.json on standard output, and nothing else.
    """
    _refuse_to_save(save)
    with Session(output, quiet=json, name="design") as session:
        session.says("reading the data")
        from echoic import data as sources

        series = sources.load(data, column=column, data_dir=data_dir)
        session.says("starting JAX")
        import jax.random as jr

        from echoic import diagnosis
        from echoic.core.checks import at_least

        session.request = {
            "command": "design",
            "data": series.sha256,
            "column": column,
            "horizon": horizon,
            "hidden": hidden,
            "scale": scale,
            "seed": seed,
        }
        key = jr.key(at_least("seed", seed, 0, 2**32 - 1))
        try:
            found = diagnosis.design_report(
                family,
                series,
                horizon=horizon,
                key=key,
                hidden_size=hidden,
                scale="standardise" if scale else None,
                seed=seed,
                measured=measure,
                diagram=map,
                command=session.command_line,
                progress=diagnosis.Progress(session.stage, session.done, session.begins),
                known=session.known() if resume else None,
            )
        except KeyboardInterrupt:
            return session.stopped()
        more = _pictures(found.report) if map else {}
        code = session.finished(found.report, more)
        if save is not None:
            _save(found, save, horizon)
            session.notices(f"Network: {save} ({found.best.name})")
        return code


def _refuse_to_save(path: pathlib.Path | None) -> None:
    """Refuse a file that could not be written in the end, before any work is done."""
    if path is None:
        return
    if path.suffix != ".safetensors":
        raise ValueError(f"--save must name a .safetensors file, got {path.name!r}.")
    if path.is_dir():
        raise ValueError(f"--save names a folder: {path}.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--save: the folder {path.absolute().parent} does not exist.")


def _pictures(report: Any) -> dict[str, bytes]:
    """The phase diagram for print and for the screen, by file name; none where there is none."""
    import io

    from echoic import reports

    diagram = next((n.phase_map for n in report.networks if n.phase_map is not None), None)
    if diagram is None:
        return {}
    drawing = reports.phase_figure(diagram)
    files = {}
    for ending, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 300})):
        stream = io.BytesIO()
        drawing.savefig(stream, format=ending, **options)
        files[f"phase_map.{ending}"] = stream.getvalue()
    return files


def _save(found: Any, path: pathlib.Path, horizon: int) -> None:
    import echoic

    echoic.save(
        found.network,
        path,
        metadata={"prescription": found.best.name, "horizon": horizon, **found.best.settings},
    )
