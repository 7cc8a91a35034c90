"""The small pictures of findings: nothing covers anything else, nothing is made up."""

import re

import numpy as np
import pytest

from echoic.core.finding import Drawing, Line
from echoic.reports.drawings import svg

LETTER = 6.4  # the width of a digit at the size of the ticks


def drawing(y, **options):
    y = np.asarray(y, float)
    return Drawing("A title", "lag", "height", (Line("one", np.arange(len(y)), y),), "", **options)


@pytest.mark.parametrize("y", [[0.7840, 0.7848], [0, 1], [-12345.25, -12345.0], [1e-9, 1.0]])
def test_the_numbers_do_not_cover_the_name_of_their_axis(y):
    picture = svg(drawing(y))
    numbers = re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="end">([^<]+)</text>', picture)
    assert len(numbers) >= 2
    name_ends = 17  # its base line stands at 13
    assert all(float(x) - LETTER * len(text) >= name_ends for x, text in numbers)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([6.0, 43.0], ["10", "20"]),
        ([0.3, 3.0], ["0.5", "1", "2"]),
        ([0.2951, 0.2956], ["0.2952", "0.2954", "0.2956"]),
        ([1e-3, 1e3], ["0.001", "0.1", "10", "1000"]),
    ],
)
def test_numbers_along_a_logarithmic_axis_are_round(y, labels):
    picture = svg(drawing(y, logarithmic=(False, True)))
    assert re.findall(r'class="end">([^<]+)</text>', picture) == labels


def test_what_is_not_known_is_a_gap():
    whole, torn = (svg(drawing([1, 2, middle, 2, 1])) for middle in (2, np.nan))
    path = re.compile(r'class="[^"]*c0[^"]*" d="([^"]+)"')
    (unbroken,), (broken,) = path.findall(whole), path.findall(torn)
    assert (unbroken.count("M"), broken.count("M")) == (1, 2)


def test_names_are_text_and_no_markup():
    picture = svg(Drawing("<b>", "<i>", "&", (Line("x", np.arange(2), np.arange(2.0)),), "<u>"))
    assert not re.search("<(b|i|u)>", picture)
    assert "&amp;" in picture
