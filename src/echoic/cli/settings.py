"""The settings of a command in a TOML file, and options given as KEY=VALUE."""

import json
import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from echoic.core.files import write_whole

NAME = "run.toml"


def parsed_options(pairs: Sequence[str]) -> dict[str, Any]:
    """``["delay=60", "unit=word"]`` as a mapping; numbers and true, false, none are read as such.

    **Raises** ValueError for what has no ``=`` and for a key that comes twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise ValueError(f"options of a task are given as KEY=VALUE, got {pair!r}.")
        if key in found:
            raise ValueError(f"the option {key!r} is given twice.")
        found[key] = _value(text.strip())
    return found


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def settings_of(arguments: Sequence[str]) -> list[Any]:
    """What reads the settings file that ``--config`` names, for a command that takes one.

    **Raises** ValueError where no file is named and for one that is not TOML, FileNotFoundError.
    """
    name = next(
        (
            after if word == "--config" else word.removeprefix("--config=")
            for word, after in zip(arguments, [*arguments, ""][1:], strict=True)
            if word == "--config" or word.startswith("--config=")
        ),
        None,
    )
    if name is None:
        return []
    if not name:
        raise ValueError("--config wants the path of a TOML file.")
    from cyclopts.config import Toml

    try:
        tomllib.loads(pathlib.Path(name).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is not a TOML file: {error}.") from error
    return [Toml(name, must_exist=True, use_commands_as_keys=False)]


def refuse_used_folder(folder: pathlib.Path) -> None:
    """A run is not written over."""
    if (folder / "config.json").exists():
        raise ValueError(
            f"there is a run in {str(folder)!r} already: --resume goes on with it, another"
            " --output begins anew."
        )


def write_settings(folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
    """Keep the settings in the folder of a run, for ``--config``, from whichever folder."""
    settings = {**settings, "set": list(map(_in_full, settings.get("set") or [])) or None}
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None]
    write_whole(folder / NAME, "\n".join(lines) + "\n")


def _in_full(option: str) -> str:
    """An option of a task that names a file here names it in full."""
    name, sign, value = option.partition("=")
    path = pathlib.Path(value)
    return f"{name}{sign}{path.resolve()}" if path.suffix and path.is_file() else option


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # A JSON string is a TOML string, but for characters beyond the basic plane.
    return json.dumps(str(value), ensure_ascii=False)
