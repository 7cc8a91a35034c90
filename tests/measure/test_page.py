"""The page of measures names all of them, and nothing that is none."""

import pathlib
import re
import types

from echoic import measure

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "measures.md"


def test_every_measure_is_on_the_page():
    text = PAGE.read_text()
    named = set(re.findall(r"`([a-z_A-Z]+)`", text))
    public = {
        name for name in measure.__all__ if not isinstance(getattr(measure, name), types.ModuleType)
    }
    assert public - named == set()
    unknown = named - public - {"unseen"}
    assert unknown == set()
