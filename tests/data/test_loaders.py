"""The user's own files: what is read is what was written, and every refusal says why."""

import bz2
import gzip
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import echoic.data
from echoic.data import DataError, DataNotFoundError, load

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(500, 3))


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def csv_text(values, header=None, delimiter=","):
    lines = [] if header is None else [delimiter.join(header)]
    lines += [delimiter.join(repr(float(cell)) for cell in row) for row in values]
    return "\n".join(lines) + "\n"


# --- what is read is what was written -------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("header", [None, ["u", "v", "w"]])
def test_csv_whatever_its_delimiter_and_header(tmp_path, delimiter, header):
    path = written(tmp_path / "a.csv", csv_text(NUMBERS, header, delimiter))
    series = load(path)
    np.testing.assert_array_equal(series.values, NUMBERS)
    assert series.channels == tuple(header or ["0", "1", "2"])
    assert series.values.dtype == np.float64


@pytest.mark.parametrize(
    ("column", "expected"), [("v", [1]), ("w,u", [2, 0]), ("1", [1]), (2, [2]), ("u, 2", [0, 2])]
)
def test_columns_by_name_and_number(tmp_path, column, expected):
    path = written(tmp_path / "a.csv", csv_text(NUMBERS, ["u", "v", "w"]))
    series = load(path, column=column)
    np.testing.assert_array_equal(series.values, NUMBERS[:, expected])
    assert series.channels == tuple("uvw"[index] for index in expected)


def test_decimal_commas(tmp_path):
    path = written(tmp_path / "a.csv", "a;b\n1,5;2,25\n-3,5;4\n0,1;1e-3\n")
    np.testing.assert_array_equal(load(path).values, [[1.5, 2.25], [-3.5, 4.0], [0.1, 1e-3]])


def test_mixed_decimal_marks_are_refused(tmp_path):
    path = written(tmp_path / "a.csv", "a;b\n1,234;2.5\n3,100;4.5\n")
    with pytest.raises(DataError, match=r"both as '1,234' and as '2\.5'"):
        load(path)


def test_quotes_comments_blank_lines_and_windows_line_ends(tmp_path):
    text = '# made by hand\r\n"v, in mV","w"\r\n"1.5",2\r\n\r\n2.5,"3"\r\n'
    series = load(written(tmp_path / "a.csv", "\ufeff" + text))
    assert series.channels == ("v, in mV", "w")
    np.testing.assert_array_equal(series.values, [[1.5, 2], [2.5, 3]])
    assert load(tmp_path / "a.csv", column="v, in mV").values.shape == (2, 1)


def test_row_names_without_a_title(tmp_path):
    series = load(written(tmp_path / "a.csv", "v\n1 0.5\n2 0.7\n3 0.1\n4 0.9\n"))
    assert series.channels == ("v",)
    np.testing.assert_array_equal(series.values[:, 0], [0.5, 0.7, 0.1, 0.9])


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_packed_tables(tmp_path, ending, pack):
    path = tmp_path / f"a.csv{ending}"
    path.write_bytes(pack(csv_text(NUMBERS).encode()))
    np.testing.assert_array_equal(load(path).values, NUMBERS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged or cut short"):
        load(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8, bool, ">f8"])
def test_npy_of_every_real_dtype(tmp_path, dtype):
    array = RNG.integers(0, 2, size=(50, 2)).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    series = load(tmp_path / "a.npy")
    np.testing.assert_array_equal(series.values, array.astype(np.float64))
    assert series.values.dtype == np.float64


def test_npy_of_one_two_and_three_dimensions(tmp_path):
    for shape in [(40,), (40, 3), (5, 40, 3)]:
        array = RNG.normal(size=shape)
        np.save(tmp_path / "a.npy", array)
        series = load(tmp_path / "a.npy")
        np.testing.assert_array_equal(
            series.values, array.reshape(40, 1) if len(shape) == 1 else array
        )
        assert series.num_sequences == (5 if len(shape) == 3 else 1)
    np.testing.assert_array_equal(load(tmp_path / "a.npy", column="1").values, array[..., [1]])


def test_npz_needs_to_be_told_which_array(tmp_path):
    np.savez(tmp_path / "a.npz", u=NUMBERS[:, 0], v=NUMBERS[:, 1], both=NUMBERS)
    with pytest.raises(DataError, match=r"say with column= which array.*'u' \(500,\)"):
        load(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"no array 'x'. Arrays: 'u' \(500,\)"):
        load(tmp_path / "a.npz", column="x")
    np.testing.assert_array_equal(load(tmp_path / "a.npz", column="v,u").values, NUMBERS[:, [1, 0]])
    np.testing.assert_array_equal(load(tmp_path / "a.npz", column="both").values, NUMBERS)
    with pytest.raises(DataError, match="several arrays become channels only"):
        load(tmp_path / "a.npz", column="u,both")


def test_parquet(tmp_path):
    columns = {"time": np.arange(500.0), "v": NUMBERS[:, 0], "w": NUMBERS[:, 1], "s": ["x"] * 500}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"'time' \(time\), 's' \(text\).*numbers: 'v', 'w'"):
        load(tmp_path / "a.parquet")
    np.testing.assert_array_equal(
        load(tmp_path / "a.parquet", column="w,v").values, NUMBERS[:, [1, 0]]
    )
    with pytest.raises(DataError, match="'s' holds text"):
        load(tmp_path / "a.parquet", column="s")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:300])
    with pytest.raises(DataError, match="not a Parquet file"):
        load(tmp_path / "b.parquet")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'pip install "echoic\[parquet\]"'):
        load(tmp_path / "a.parquet")


def test_a_column_of_numbers_in_a_text_file(tmp_path):
    path = written(tmp_path / "a.txt", "\n".join(map(repr, NUMBERS[:, 0].tolist())))
    np.testing.assert_array_equal(load(path).values, NUMBERS[:, :1])


def test_prose_becomes_one_hot_characters(tmp_path):
    text = "the cat sat on the mat — says the cat.\n"
    series = load(written(tmp_path / "a.txt", text))
    assert series.one_hot
    assert series.channels == tuple(sorted(set(text)))
    values = series.values
    assert values.shape == (len(text), len(set(text)))
    assert "".join(series.channels[index] for index in values.argmax(1)) == text
    np.testing.assert_array_equal(values.sum(1), 1)
    raw = load(tmp_path / "a.txt", column="bytes")
    read_back = bytes(ord(raw.channels[index]) for index in raw.samples)
    assert read_back == text.encode()


def test_too_many_characters_are_refused_and_bytes_offered(tmp_path):
    path = written(tmp_path / "a.txt", "".join(map(chr, range(0x4E00, 0x4E00 + 300))))
    with pytest.raises(DataError, match=r"300 different characters.*at most 256.*column='bytes'"):
        load(path)
    assert load(path, column="bytes").one_hot


@pytest.mark.slow
def test_a_long_text_does_not_fill_the_memory(tmp_path):
    path = written(tmp_path / "a.txt", "abcdefghij" * 3_000_000)
    series = load(path)
    with pytest.raises(MemoryError, match=r"2\.4 GB; take a part, such as series\[:25000000\]"):
        _ = series.values
    np.testing.assert_array_equal(series[3:5].values, np.eye(10)[3:5])


# --- columns that are no signal ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "first", "kind"),
    [
        ("time", 0.0, "time"),
        ("Time (s)", 5.0, "time"),
        ("", 1.0, "time"),
        ("anything", 0.0, "time"),
    ],
)
def test_a_clock_is_no_input(tmp_path, clock, first, kind):
    times = first + 0.5 * np.arange(len(NUMBERS))
    table = np.column_stack([times, NUMBERS])
    path = written(tmp_path / "a.csv", csv_text(table, [clock, "u", "v", "w"]))
    with pytest.raises(DataError, match=r"column=.*\(time\).*numbers: 'u', 'v', 'w'"):
        load(path)
    with pytest.raises(DataError, match=r"counts time\. Columns of numbers: 'u', 'v', 'w'"):
        load(path, column="0")
    np.testing.assert_array_equal(load(path, column="v").values, NUMBERS[:, [1]])


def test_the_only_signal_beside_a_clock_is_taken(tmp_path):
    table = np.column_stack([np.arange(500.0), NUMBERS[:, 0]])
    assert load(written(tmp_path / "a.csv", csv_text(table, ["t", "v"]))).channels == ("v",)


def test_dates_and_words_are_no_input(tmp_path):
    rows = "".join(f"2024-01-{day:02d} 00:00:00,{0.3 * day % 1:.2f},ok\n" for day in range(1, 29))
    path = written(tmp_path / "a.csv", "when,v,flag\n" + rows)
    assert load(path).channels == ("v",)
    with pytest.raises(DataError, match=r"'when' counts time.*numbers: 'v'"):
        load(path, column="when")
    with pytest.raises(DataError, match=r"'flag' holds text.*numbers: 'v'"):
        load(path, column="flag")


def test_a_signal_that_starts_with_a_ramp_is_not_a_clock(tmp_path):
    ramp = np.concatenate([np.arange(300.0), NUMBERS[:200, 0]])
    table = np.column_stack([ramp, NUMBERS[:, 1]])
    assert load(written(tmp_path / "a.csv", csv_text(table, ["u", "v"]))).channels == ("u", "v")


# --- refusals ---------------------------------------------------------------------------------


def test_missing_files_and_names(tmp_path):
    with pytest.raises(DataNotFoundError, match="Did you mean 'laser'"):
        load("lasr")
    with pytest.raises(DataNotFoundError, match="there is no file"):
        load(tmp_path / "no.csv")
    with pytest.raises(FileNotFoundError, match="Linguistic Data Consortium"):
        load("penn_treebank")
    with pytest.raises(DataError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"'\.mat' are not read. Readable: \.npy"):
        load(written(tmp_path / "a.mat", "x"))


def test_missing_columns_are_listed(tmp_path):
    path = written(tmp_path / "a.csv", csv_text(NUMBERS, ["u", "v", "w"]))
    with pytest.raises(DataError, match=r"no column 'x'. Columns: 'u', 'v', 'w'"):
        load(path, column="u,x")
    with pytest.raises(DataError, match="no column '3'"):
        load(path, column=3)
    with pytest.raises(DataError, match="names a column twice"):
        load(path, column="u,0")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "u,v\n"])
@pytest.mark.parametrize("ending", [".csv", ".txt"])
def test_empty_files(tmp_path, text, ending):
    if ending == ".txt" and text not in ("", "\n\n"):
        pytest.skip("this is a text of a few characters")
    with pytest.raises(DataError, match=r"is empty|has a header and no rows"):
        load(written(tmp_path / f"a{ending}", text))


def test_empty_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 2)))
    with pytest.raises(DataError, match=r"empty: it has shape \(0, 2\)"):
        load(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz")
    with pytest.raises(DataError, match="holds no arrays"):
        load(tmp_path / "a.npz")


def test_nan_and_inf_are_counted_and_placed(tmp_path):
    broken = NUMBERS.copy()
    broken[[17, 20, 30], 1] = np.nan
    broken[25, 1] = -np.inf
    np.save(tmp_path / "a.npy", broken)
    with pytest.raises(DataError, match="3 NaN and 1 infinite, first at row 17, column '1'"):
        load(tmp_path / "a.npy")
    path = written(tmp_path / "a.csv", "# note\n" + csv_text(broken, ["u", "v", "w"]))
    with pytest.raises(
        DataError, match=r"3 NaN and 1 infinite, first at row 17 \(line 20\), column 'v'"
    ):
        load(path)
    np.save(tmp_path / "b.npy", np.stack([NUMBERS, broken]))
    with pytest.raises(DataError, match="first at row 17 of sequence 1"):
        load(tmp_path / "b.npy")
    load(path, column="u,w")


@pytest.mark.parametrize("missing", ["", "NA", "nan", "null"])
def test_missing_cells_are_nan(tmp_path, missing):
    path = written(tmp_path / "a.csv", f"u,v\n1,2\n2,{missing}\n0,3\n")
    with pytest.raises(DataError, match=r"1 NaN, first at row 1 \(line 3\), column 'v'"):
        load(path)


def test_constant_channels(tmp_path):
    table = np.column_stack([NUMBERS[:, 0], np.full(500, 0.25)])
    path = written(tmp_path / "a.csv", csv_text(table, ["u", "v"]))
    with pytest.raises(DataError, match=r"column 'v' is constant \(0\.25\)"):
        load(path)
    assert load(path, column="u").channels == ("u",)
    with pytest.raises(DataError, match="constant: one character"):
        load(written(tmp_path / "b.txt", "aaaaaa"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((9, 2), complex), "dtype complex128: a series must be real"),
        (np.array(["a", "b"]), "dtype <U1"),
        (np.array(["2024-01-01"], "M8[D]"), r"dtype datetime64"),
        (np.zeros((2, 2, 2, 2)), r"got \(2, 2, 2, 2\)"),
        (np.array(3.0), r"got \(\)"),
        (np.arange(7.0)[None], "a single step"),
    ],
)
def test_arrays_that_are_no_series(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.npy")


def test_python_objects_are_never_loaded(tmp_path):
    objects = np.empty(2, object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=objects)
    for ending in ("npy", "npz"):
        with pytest.raises(DataError, match="could run code"):
            load(tmp_path / f"a.{ending}")


def test_time_comes_first(tmp_path):
    np.save(tmp_path / "a.npy", NUMBERS.T)
    with pytest.warns(UserWarning, match="3 steps of 500 channels; time comes first"):
        load(tmp_path / "a.npy")


@pytest.mark.parametrize("quoted", [False, True])
def test_ragged_rows_are_named(tmp_path, quoted):
    rows = csv_text(NUMBERS, ["u", "v", "w"]).splitlines()
    if quoted:
        rows[3] = ",".join(f'"{cell}"' for cell in rows[3].split(","))
    rows[41] = "1.0,2.0"
    path = written(tmp_path / "a.csv", "\n".join(rows))
    for column in (None, "u"):
        with pytest.raises(DataError, match="line 42: 2 cells where the first row has 3"):
            load(path, column=column)
    rows[41] = "1.0,2.0,3.0,4.0"
    with pytest.raises(DataError, match="line 42: 4 cells where the first row has 3"):
        load(written(path, "\n".join(rows)))


@pytest.mark.parametrize("line", [42, 450])
def test_a_misprint_is_named(tmp_path, line):
    rows = csv_text(NUMBERS, ["u", "v", "w"]).splitlines()
    rows[line - 1] = "1.0,O.5,3.0"
    path = written(tmp_path / "a.csv", "\n".join(rows))
    with pytest.raises(DataError, match=f"line {line}, column 'v': 'O.5' is not a number"):
        load(path)
    assert load(path, column="u").values.shape == (500, 1)


def test_truncated_archives(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=NUMBERS)
    np.save(tmp_path / "a.npy", NUMBERS)
    for ending in ("npz", "npy"):
        whole = (tmp_path / f"a.{ending}").read_bytes()
        for cut in (4, 60, len(whole) // 2, len(whole) - 5):
            (tmp_path / f"b.{ending}").write_bytes(whole[:cut])
            with pytest.raises(DataError, match="damaged"):
                load(tmp_path / f"b.{ending}")


def test_archive_with_a_flipped_byte(tmp_path):
    np.savez(tmp_path / "a.npz", a=NUMBERS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[2000] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n\x00\x01\x02", "has zero bytes|byte 8 is zero"),
        (bytes(RNG.integers(128, 256, 3000, dtype=np.uint8)), "is not UTF-8 text"),
        ("Temperatur in °C\n1\n2\n".encode("latin-1"), "not UTF-8 text: byte 0xb0"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".txt"])
def test_binary_garbage(tmp_path, content, message, ending):
    (tmp_path / f"a{ending}").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / f"a{ending}")


def test_a_table_of_words_has_no_numbers(tmp_path):
    with pytest.raises(DataError, match=r"no column of numbers: 'a' .text., 'b' .text."):
        load(written(tmp_path / "a.csv", "a,b\nx,y\nz,w\n"))


# --- the record -------------------------------------------------------------------------------


def test_a_slice_is_a_slice_of_time(tmp_path):
    array = RNG.normal(size=(4, 30, 2))
    np.save(tmp_path / "a.npy", array)
    series = load(tmp_path / "a.npy")
    np.testing.assert_array_equal(series[5:9].values, array[:, 5:9])
    np.testing.assert_array_equal(series.sequence(2).values, array[2])
    with pytest.raises(DataError, match=r"sequences 0\.\.3, got 4"):
        series.sequence(4)
    with pytest.raises(TypeError):
        series[3]


def test_a_million_rows_are_read_by_the_fast_parser(tmp_path, monkeypatch):
    path = written(tmp_path / "a.csv", csv_text(np.tile(NUMBERS[:, :2], (20, 1))))
    monkeypatch.setattr("echoic.data.tables._parse_slowly", None)
    assert load(path).values.shape == (10_000, 2)


def test_the_public_names():
    assert set(echoic.data.__all__) >= {"load", "fetch", "verify", "Series", "REGISTRY"}
