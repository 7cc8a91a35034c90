"""Named data sets: found where they should be, checked, and described truly."""

import os
import subprocess
import sys

import numpy as np
import pytest

import echoic.data
from echoic.data import REGISTRY, DataError, DataNotFoundError, load, registry, verify

ELSEWHERE = sorted(set(REGISTRY) - {"ecg"})


def on_this_machine(name):
    """The set, or a skip that says how to get it."""
    try:
        return load(name)
    except DataNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No data but what the package brings."""
    monkeypatch.delenv("ECHOIC_DATA", raising=False)
    monkeypatch.setattr(registry, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path


def test_the_electrocardiogram_needs_nothing(alone):
    series = load("ecg")
    assert series.values.shape == (108_000, 1)
    # The record as SciPy publishes it: mean -0.16510875, standard deviation 0.5992473991.
    assert series.values.mean() == pytest.approx(-0.16510875, abs=1e-6)
    assert series.values.std() == pytest.approx(0.5992473991, abs=1e-6)
    np.testing.assert_allclose(series.values[:3, 0], [-0.245, -0.215, -0.185], atol=1e-7)
    assert series.sampling == "360 Hz"
    assert "ODC-BY" in series.licence
    assert "Moody" in series.citation
    assert series.sha256 == registry.digest(registry.BUNDLED / "ecg_mitbih208_360hz.npz")


def test_the_licence_travels_with_the_electrocardiogram():
    text = (registry.BUNDLED / "ecg_mitbih208_360hz.LICENCE.txt").read_text()
    for needed in ("ODC-BY 1.0", "Moody GB, Mark RG", "Goldberger", "10.13026/C2F305"):
        assert needed in text


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_missing_set_says_how_to_get_it(alone, name):
    with pytest.raises(DataNotFoundError) as caught:
        load(name)
    message = str(caught.value)
    assert REGISTRY[name].files[0].name in message
    assert "--data-dir" in message
    assert "$ECHOIC_DATA" in message
    assert (f"echoic data fetch {name}" in message) == bool(REGISTRY[name].downloads)


def test_the_order_of_search(alone, monkeypatch):
    places = {}
    for folder, value in [("argument", 3.0), ("environment", 2.0), ("cache", 1.0)]:
        places[folder] = alone / folder
        places[folder].mkdir()
        np.save(places[folder] / "santafe_laser.npy", np.array([[value], [0.0]]))
    monkeypatch.setattr(registry, "intact", lambda file, path: True)
    assert load("laser").values.max() == 1.0
    monkeypatch.setenv("ECHOIC_DATA", str(places["environment"]))
    assert load("laser").values.max() == 2.0
    assert load("laser", data_dir=places["argument"]).values.max() == 3.0
    assert load("ecg", data_dir=places["argument"]).values.shape == (108_000, 1)
    with pytest.raises(DataNotFoundError, match="data_dir: there is no folder"):
        load("laser", data_dir=alone / "nowhere")


def test_a_damaged_set_is_refused(alone):
    content = bytearray((registry.BUNDLED / "ecg_mitbih208_360hz.npz").read_bytes())
    content[5000] ^= 1
    (alone / "ecg_mitbih208_360hz.npz").write_bytes(content)
    with pytest.raises(DataError, match="size or checksum differs"):
        load("ecg", data_dir=alone)
    (found,) = verify("ecg", alone)
    assert found.intact is False
    (found,) = verify("ecg")
    assert found.intact is True
    assert all(found.path is None for found in verify("mnist_train"))


def test_a_known_name_goes_before_a_file(alone, monkeypatch):
    monkeypatch.chdir(alone)
    (alone / "ecg").write_text("x")
    assert load("ecg").values.shape == (108_000, 1)
    with pytest.raises(DataError, match="no ending"):
        load("./ecg")


def test_every_entry_is_complete():
    for name, known in REGISTRY.items():
        assert known.name == name
        assert known.description.endswith(".")
        assert known.licence
        assert known.reader in echoic.data.loaders.sets.READERS
        for file in (*known.files, *known.originals):
            kind, digest = file.checksum.split(":")
            assert len(digest) == {"sha256": 64, "md5": 32}[kind]
            assert file.size > 0


def test_columns_of_named_sets(alone):
    with pytest.raises(DataError, match="no column 'x'; there are: ecg_mV"):
        load("ecg", column="x")


def test_importing_data_does_not_import_jax():
    code = "import sys, echoic.data; echoic.data.load('ecg'); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- the sets themselves, where they are at hand ------------------------------------------------

SIZES = {
    "laser": (1, 10_093, 1),
    "silverbox": (1, 131_072, 1),
    "grasshopper": (1, 200_000, 1),
    "spoken_digits": (3_000, 18_262, 1),
    "japanese_vowels": (640, 29, 12),
    "mnist_test": (10_000, 784, 1),
    "mnist_train": (60_000, 784, 1),
    "mnist5k": (5_000, 784, 1),
    "fashion_mnist_test": (10_000, 784, 1),
    "fashion_mnist_train": (60_000, 784, 1),
    "austen": (1, 4_025_038, 81),
    "shakespeare": (1, 4_988_847, 82),
    "tinyshakespeare": (1, 1_115_394, 65),
    "kjv": (1, 4_137_850, 63),
    "enwiki": (1, 6_089_746, 201),
    "text8": (1, 100_000_000, 27),
    "enwik8": (1, 100_000_000, 205),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_size_of_every_set(name):
    series = on_this_machine(name)
    assert (series.num_sequences, max(series.lengths), len(series.channels)) == SIZES[name]


def test_digits_are_pixels_read_row_by_row():
    series = on_this_machine("mnist_test")
    assert series.labels is not None
    assert series.labels[:5].tolist() == [7, 2, 1, 0, 4]
    # The first digit of the test set is a 7: its top stroke lies in rows 7 to 9.
    image = series.values[0, :, 0].reshape(28, 28)
    assert image.min() == 0
    assert image.max() <= 1
    assert image[:7].sum() == 0
    assert image[8, 6:20].min() > 0.2
    assert series.sequence(0).values.shape == (784, 1)
    assert load("mnist_test:3").labels.tolist() == [0]


def test_spoken_digits_one_by_one():
    whole = on_this_machine("spoken_digits")
    one = load("spoken_digits:17")
    assert one.name == "spoken_digits:17"
    np.testing.assert_array_equal(one.values, whole.values[17])
    assert min(whole.lengths) == 1_148
    assert np.median(whole.lengths) == 3_358.5
    assert max(np.abs(sound).max() for sound in whole.values) <= 1
    with pytest.raises(DataError, match=r"sequences 0\.\.2999, got 3000"):
        load("spoken_digits:3000")
    with pytest.raises(DataError, match="sequences, not columns"):
        load("spoken_digits", column="digit")


def test_the_silverbox_is_driven_by_its_input():
    assert on_this_machine("silverbox").channels == ("u",)
    both = load("silverbox", column="u,y").values
    # The arrow part grows: its amplitude in the last tenth is larger than in the first.
    assert both[36_000:40_000, 0].std() > 3 * both[:4_000, 0].std()


def test_vowels_are_cut_to_their_lengths():
    series = on_this_machine("japanese_vowels")
    assert isinstance(series.values, tuple)
    assert all(np.abs(utterance[-1]).max() > 0 for utterance in series.values)
    assert set(series.labels.tolist()) == set(range(1, 10))


def test_grasshopper_spikes_are_all_counted():
    assert on_this_machine("grasshopper").channels == ("stim1",)
    spikes = load("grasshopper", column="spikes1,spikes2").values
    assert spikes.sum(0).tolist() == [929, 868]


def test_text_can_be_spelt_out_again():
    series = on_this_machine("tinyshakespeare")
    start = "".join(series.channels[index] for index in series.samples[:14])
    assert start == "First Citizen:"
    assert series[:100].values.shape == (100, 65)


def test_the_environment_names_real_data():
    if not os.environ.get("ECHOIC_DATA"):
        pytest.skip("set $ECHOIC_DATA to a folder of data sets to test them all")
    assert sum(found.intact is True for name in REGISTRY for found in verify(name)) >= 1
