import base64
import dataclasses
import hashlib
import html.parser
import json
import math
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from echoic import reports
from echoic.reports.page_data import page_data

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
DRIVER = pathlib.Path(__file__).with_name("driver.js")


class Page(html.parser.HTMLParser):
    """Tags, attributes, script contents and visible text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.words, self._inside = [], [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(record):
    return reports.to_html(record)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base")
        for name in ("src", "srcset", "data", "action", "poster", "background"):
            assert name not in attributes
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)


def test_the_style_loads_nothing(text):
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_only_these_scripts_may_run(page):
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    runnable = [s for s, a in zip(page.scripts, page.all("script"), strict=True) if "type" not in a]
    assert len(runnable) == 2
    for script in runnable:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_below_6_megabytes_with_twenty_networks_of_many_curves(synthetic):
    record = synthetic.report(20, max_lag=5000, units=512)
    doubled = tuple(
        dataclasses.replace(
            n, curves=n.curves + tuple(dataclasses.replace(c, origin="predicted") for c in n.curves)
        )
        for n in record.networks
    )
    size = len(reports.to_html(dataclasses.replace(record, networks=doubled)).encode())
    assert 4.8e6 < size < 6e6


def test_names_are_text_everywhere(text, page, synthetic):
    assert synthetic.HOSTILE not in text
    assert "<b>every</b>" not in text
    assert "onerror=alert(2)>" not in text.replace("onerror=alert(2)&gt;", "")
    assert "".join(page.words).count(synthetic.HOSTILE) >= 3
    assert not page.all("b")


def test_the_island_parses_and_holds_the_curves(page, record):
    data = json.loads(page.scripts[0])
    assert "<" not in page.scripts[0]
    assert data == json.loads(json.dumps(page_data(record)))
    assert [n["name"] for n in data["networks"]] == [n.name for n in record.networks]
    curve = data["networks"][0]["curves"][0]
    lags = data["lags"][curve["lags"]]
    wanted = record.networks[0].curve("gradient_reach").value[lags]
    assert np.allclose(np.array(curve["value"], float), wanted, rtol=5.1e-4)
    assert data["networks"][2]["exponents"]["value"][0] == "-Infinity"


def test_the_order_is_verdict_curves_table_why_change_how(page, record):
    ids = [a["id"] for tag, a in page.tags if tag in ("section", "h1") and "id" in a]
    assert ids == ["verdict", "curves", "networks", "why", "change", "how"]
    words = "".join(page.words)
    for said in (record.verdict, record.command, *record.warnings, *record.citations.values()):
        assert said in words
    for said in ("≥ 2000", "grows", "−∞", "◆ edge", "▼ fading", "▲ rugged", "0f5c1e", "0.10.2"):
        assert said in words


def test_every_figure_speaks_in_words_and_gives_its_data(page, record):
    figures = [a for a in page.all("div") if "data-figure" in a]
    assert [a["data-figure"] for a in figures] == [
        "gain",
        "information",
        "spectrum",
        "singular",
        "autocorrelation",
    ]
    assert all(a["role"] == "img" and len(a["aria-label"]) > 40 for a in figures)
    assert record.verdict in figures[0]["aria-label"]
    copies = [a["data-csv"] for a in page.all("button") if "data-csv" in a]
    assert copies == [a["data-figure"] for a in figures]


@pytest.mark.slow
def test_a_bundled_file_is_shown_by_its_name_and_others_as_given(record):
    for source, said in (
        ("/home/me/lib/python3.12/site-packages/echoic/data/files/ecg.npz", "ecg.npz, bundled"),
        (r"C:\lib\echoic\data\files\ecg.npz", "ecg.npz, bundled"),
        ("../data/own.csv", "../data/own.csv"),
        ("/home/me/data/files/own.csv", "/home/me/data/files/own.csv"),
    ):
        signal = dataclasses.replace(record.signal, source=source)
        text = reports.to_html(dataclasses.replace(record, signal=signal))
        words = "".join(Page(text).words)
        assert said in words
        assert "site-packages" not in words


def test_exponents_that_cannot_be_drawn_leave_no_empty_figure(small):
    nothing = dataclasses.replace(
        small.networks[2].spectrum, exponents=np.full(24, -np.inf), predicted=None
    )
    network = dataclasses.replace(small.networks[2], spectrum=nothing)
    page = Page(reports.to_html(dataclasses.replace(small, networks=(network,))))
    figures = [a["data-figure"] for a in page.all("div") if "data-figure" in a]
    assert "spectrum" not in figures
    assert "−∞" in "".join(page.words)


def test_settings_are_words_not_a_program(record):
    settings = {"effort": {"starts": 32, "probes": 4}, "seed": [1, 2]}
    text = reports.to_html(dataclasses.replace(record, settings=settings))
    assert "starts 32, probes 4" in text
    assert "<dd>1, 2</dd>" in text


def test_what_is_not_there_leaves_no_empty_section(broken):
    text = reports.to_html(broken)
    page = Page(text)
    words = "".join(page.words)
    assert "{{7*7}}" in words
    assert "</pre><script>alert(3)</script>" in words
    assert "\x1b" not in text
    assert "nan" not in words
    none = Page(reports.to_html(dataclasses.replace(broken, networks=())))
    assert "change" not in [a.get("id") for a in none.all("section")]


def test_definitions_are_set_as_mathematics(page):
    words = "".join(page.words)
    assert "∂hₜ/∂hₜ₋ₖ" in words
    assert "dh_t" not in words
    assert "lambda_1" not in words


def test_the_notebook_gets_a_small_safe_page(record, broken, synthetic):
    text = reports.to_notebook_html(record)
    page = Page(text)
    assert len(text) < 700_000
    assert not page.all("script")
    (image,) = page.all("img")
    kind, code = image["src"].split(",", 1)
    assert kind == "data:image/svg+xml;base64"
    assert b"<script" not in base64.b64decode(code)
    assert record.verdict in image["alt"]
    assert synthetic.HOSTILE in "".join(page.words)
    assert "\x1b" not in reports.to_notebook_html(broken)
    assert "img" not in reports.to_notebook_html(dataclasses.replace(broken, networks=()))


def browse(path, folder):
    """The page after its script ran, and what the console said."""
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={folder}", "--enable-logging=stderr",
            "--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, check=True, timeout=170,
    )  # fmt: skip
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    return done.stdout.decode("utf-8"), [line for line in lines if "CONSOLE" in line]


@needs_chromium
def test_a_browser_draws_it_without_a_word_of_complaint(text, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(text, "utf-8")
    dom, said = browse(path, tmp_path / "profile")
    root = re.search(r"<html[^>]*>", dom)[0]
    assert 'data-ready="true"' in root
    assert "data-error" not in root
    assert "data-refused" not in root
    assert said == []


def driven(record, tmp_path):
    """Plays a reader. The policy would refuse the player, so it is taken out."""
    text = reports.to_html(record)
    text = re.sub(r"<meta http-equiv[^>]*>", "", text, count=1)
    text = text.replace("</body>", f"<script>{DRIVER.read_text('utf-8')}</script></body>")
    path = tmp_path / "report.html"
    path.write_text(text, "utf-8")
    dom, said = browse(path, tmp_path / "profile")
    assert said == []
    found = Page(dom)
    position = next(i for i, word in enumerate(found.words) if word.startswith('{"drawn"'))
    return json.loads(found.words[position])


@needs_chromium
def test_a_reader_sorts_points_chooses_and_copies(record, synthetic, tmp_path):
    networks = list(record.networks)
    networks[8] = dataclasses.replace(networks[8], name="=1+1, or so")
    record = dataclasses.replace(record, networks=tuple(networks))
    notes = driven(record, tmp_path)

    assert all(count > 0 for count in notes["drawn"])
    gains = [n.curve("gradient_reach").at(record.horizon) for n in networks]
    best_first = sorted(range(12), key=lambda i: -gains[i])
    assert notes["byGain"] == best_first
    assert notes["byGainUp"] == best_first[::-1]
    assert notes["ariaGain"] == "descending"
    assert notes["byExponent"][0] == 11
    assert notes["byExponent"][-1] == 2
    assert math.isinf(networks[2].spectrum.exponents[0])
    assert "Root-mean-square singular value" in notes["definition"]

    assert notes["lit"] > 0
    assert notes["unlit"] == 0
    assert (notes["before"], notes["after"]) == (4, 5)
    assert synthetic.HOSTILE in notes["labels"]
    assert {"measured", "predicted", "lyapunov_asymptote", "threshold"} <= set(notes["keyFirst"])
    assert "memoryless_recall" not in notes["keyFirst"]
    assert "end" not in notes["keyFirst"]
    assert notes["thin"] == 5
    assert notes["wanted"]
    assert "lyapunov_asymptote" not in notes["keyAfter"]
    assert "floor" in notes["keyAfter"]
    assert notes["thinAfter"] == 0
    assert notes["axis"].startswith("coherent reach")
    assert "the part that trains" in notes["caption"]
    assert notes["overlaps"] == 0
    assert not notes["wider"]
    assert notes["printWidth"] < 360
    assert notes["images"] == 0

    assert len(notes["csv"]) == 5
    assert notes["csv"][0][0] == "network,quantity,origin,lag,value,standard_error,noise_floor"
    first = networks[0].curve("coherent_reach")
    row = notes["csv"][0][1].rsplit(",", 5)
    assert row[2] == "0"
    assert float(row[3]) == pytest.approx(first.value[0], rel=1e-3)
    assert notes["formula"]
    assert notes["snippet"] == "import echoic"


@needs_chromium
def test_a_browser_survives_what_is_unknown(broken, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(reports.to_html(broken), "utf-8")
    dom, said = browse(path, tmp_path / "profile")
    assert 'data-ready="true"' in re.search(r"<html[^>]*>", dom)[0]
    assert said == []
