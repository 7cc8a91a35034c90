"""Language models: rows, segments and vocabulary by hand; and the ways to get them wrong."""

import gzip
import math

import jax
import numpy as np
import pytest

from echoic.data import DataError, DataNotFoundError
from echoic.tasks import Text, Vocabulary

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
LONG = "".join(np.random.default_rng(0).choice(list(ALPHABET), 1000))


def read(task, batch, split="train"):
    """What each row reads, segment after segment, and what it is asked."""
    count = task.num_segments(batch, split)
    segments = [task.segment(index, batch, split) for index in range(count)]
    inputs, targets = (
        np.concatenate([np.asarray(part[which]) for part in segments], axis=1) for which in (0, 1)
    )
    return [
        (task.vocabulary.decode(row), task.vocabulary.decode(asked))
        for row, asked in zip(inputs, targets, strict=True)
    ]


def test_rows_are_read_from_left_to_right():
    task = Text(text=LONG, segment_length=7)
    rows = read(task, 3)
    # 900 symbols to train on: rows of 899 // 3 = 299, of which 42 segments of 7 are read.
    assert task.num_segments(3) == 42
    for number, (inputs, targets) in enumerate(rows):
        start = 299 * number
        assert inputs == LONG[start : start + 294]
        assert targets == LONG[start + 1 : start + 295]
    # Nothing is read twice, and no segment is left out in between.
    assert len({text[:10] for text, _ in rows}) == 3


def test_parts_follow_each_other_and_share_nothing():
    task = Text(text=LONG, segment_length=4, validation=0.1, test=0.2)
    parts = [task.vocabulary.decode(np.asarray(codes)) for codes in task.streams.values()]
    assert "".join(parts) == LONG
    assert [len(part) for part in parts] == [700, 100, 200]
    assert read(task, 1, "test")[0][0] == LONG[800:996]
    assert read(task, 2, "validation")[1][1] == LONG[750:798]


def test_a_traced_index_gives_the_same_segment():
    task = Text(text=LONG, segment_length=7)
    for double in (False, True):
        with jax.enable_x64(double):
            batch = jax.jit(lambda index: task.segment(index, 3))(jax.numpy.asarray(5))
        assert np.array_equal(batch.inputs, task.segment(5, 3).inputs)
        assert (batch.inputs.dtype, batch.targets.dtype) == (np.int32, np.int32)


def test_samples_are_windows_of_the_training_part(sampled):
    task = Text(text=LONG, segment_length=7)
    batch = sampled(task, 64)
    for row, asked in zip(batch.inputs, batch.targets, strict=True):
        place = LONG.index(task.vocabulary.decode(row))
        assert place <= 892
        assert task.vocabulary.decode(asked) == LONG[place + 1 : place + 8]


def test_chance_is_the_entropy_of_single_symbols():
    text = "aaab" * 100
    task = Text(text=text, segment_length=5, validation=0.1, test=0.1)
    assert task.chance == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    # Of the training part: what comes later has other odds.
    later = Text(text=text + "c" * 40, segment_length=5, validation=0.05, test=0.05)
    assert later.chance == pytest.approx(task.chance, abs=2e-2)
    assert later.input_size == 3


def test_the_stream_is_held_small():
    kinds = [Text(text=LONG, segment_length=5).streams["train"].dtype]
    words = " ".join(f"w{number}" for number in range(400)) + "\n"
    kinds.append(Text(text=words * 3, unit="word", segment_length=5).streams["train"].dtype)
    assert kinds == [np.uint8, np.uint16]


def test_words_lines_and_what_is_unknown():
    lines = ["the cat saw the dog", "", "the dog saw a cat"] * 30
    text = "\n".join(lines) + "\n" + "zebra " * 8 + "\n"
    task = Text(text=text, unit="word", vocabulary=5, segment_length=4)
    # By frequency in the training part; <eos> three times in three lines.
    assert task.vocabulary.symbols[0] == "<unk>"
    assert set(task.vocabulary.symbols[1:3]) == {"<eos>", "the"}
    assert len(task.vocabulary) == 5
    assert "zebra" not in task.vocabulary.symbols
    inputs, _ = read(task, 1)[0]
    assert inputs.split("\n")[1] == ""
    assert "zebra" not in read(task, 1, "test")[0][0]
    whole = Text(text=text, unit="word", unknown=False, segment_length=4)
    assert set(whole.vocabulary.symbols) == {"the", "cat", "saw", "dog", "a", "zebra", "<eos>"}
    assert read(whole, 1)[0][0].startswith("the cat saw the dog\n\nthe dog saw a cat\nthe")


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_last_newline_is_no_line_of_its_own(ending):
    vocabulary = Vocabulary.of(["a", "b", "c", "<eos>"], "word")
    assert vocabulary.encode("a b\r\nc" + ending).tolist() == [0, 1, 3, 2, 3]


def test_a_word_that_is_written_unk_is_the_unknown_one():
    text = "<unk> a b\n" * 40
    task = Text(text=text, unit="word", vocabulary=3, segment_length=4)
    assert task.vocabulary.symbols.count("<unk>") == 1
    assert len(task.vocabulary) == 3


def test_bytes_are_numbers_of_bytes():
    task = Text(text="ab\xe4" * 100, unit="byte", segment_length=4)
    assert task.input_size == 3
    assert task.vocabulary.symbols == ("a", "b", "\xe4")


def test_files_packed_named_and_three(tmp_path):
    path = tmp_path / "novel.txt"
    path.write_text("h\xe4user " * 100, encoding="utf-8")
    packed = tmp_path / "novel.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    plain, unpacked = (Text(file, segment_length=5) for file in (path, packed))
    assert np.array_equal(plain.streams["train"], unpacked.streams["train"])
    assert "novel.txt" in plain.description
    # One letter of two bytes.
    assert (plain.input_size, Text(path, unit="byte", segment_length=5).input_size) == (7, 8)
    other = tmp_path / "other.txt"
    other.write_text("xyz" * 20)
    three = Text(path, validation_data=other, test_data=str(other), segment_length=5)
    assert len(three.streams["train"]) == 700
    assert read(three, 1, "test")[0][0] == ("xyz" * 20)[:55]


def test_vocabularies_are_equal_by_content():
    one, two = Vocabulary.of("abc", "character"), Vocabulary.of("abc", "character")
    assert one == two
    assert hash(one) == hash(two)
    assert one != Vocabulary.of("acb", "character")
    with pytest.raises(ValueError, match="'z' is not among the 3 characters"):
        one.encode("abz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"text": LONG, "vocabulary": 20, "segment_length": 9},
            "26 different characters, more than vocabulary=20",
        ),
        ({"text": LONG, "data": "austen"}, "or itself as text"),
        ({}, "or itself as text"),
        ({"text": LONG, "segment_length": 50}, "the validation part has 50 characters"),
        ({"text": LONG, "validation": 0.6, "test": 0.5}, "leave something to train on"),
        ({"text": LONG, "unit": "letter"}, "unknown unit 'letter'"),
        ({"text": LONG, "validation_data": "x.txt"}, "come together or not at all"),
    ],
)
def test_wrong_texts(options, message):
    with pytest.raises(ValueError, match=message):
        Text(**options)


def test_more_rows_than_the_text_has():
    task = Text(text=LONG, segment_length=7)
    assert task.num_segments(129) == 0
    with pytest.raises(ValueError, match=r"batch must lie in 1\.\.128 .* in the train part of 900"):
        task.segment(0, 129)
    with pytest.raises(ValueError, match=r"batch must lie in 1\.\.7 .* in the test part of 50"):
        task.segment(0, 8, "test")


def test_what_is_no_text(tmp_path):
    with pytest.raises(DataError, match="ecg is no text"):
        Text("ecg")
    with pytest.raises(DataNotFoundError, match="Did you mean 'austen'"):
        Text("austin")
    with pytest.raises(DataNotFoundError, match="there is no file"):
        Text(tmp_path / "absent.txt")
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text(" \n")
    binary.write_bytes(b"ab\0c" * 10)
    with pytest.raises(DataError, match="is empty"):
        Text(empty)
    with pytest.raises(DataError, match="is not a text file"):
        Text(binary)


def test_tinyshakespeare(data_dir):
    task = Text("tinyshakespeare", data_dir=data_dir)
    assert task.input_size == 65
    assert sum(len(codes) for codes in task.streams.values()) == 1_115_394
    assert task.num_segments(50) == 1_003_853 // 50 // 100
    # About 4.8 bits a character.
    assert task.chance / math.log(2) == pytest.approx(4.78, abs=0.05)
