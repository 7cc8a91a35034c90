"""Networks in files: what comes back is what was stored, and nothing else comes back."""

import errno
import hashlib
import json
import os
import resource

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import echoic
from echoic import cells, init
from echoic.cells.families import families
from echoic.cells.store import read_metadata
from echoic.core.cell import AbstractCell, cast, without_law

KEYS = jax.random.split(jax.random.key(0), 20)
OPTIONS = {
    "Elman": {"activation": "relu", "recurrent": init.chain(1.02), "input": init.source(0.9)},
    "LSTM": {"recurrent": {"g": init.feedback_chain(0.9, 0.1)}, "bias": init.chrono(50)},
    "PeepholeLSTM": {"bias": init.forget(1.0)},
    "GRU": {"recurrent": init.orthogonal(1.1)},
    "MinimalRNN": {"activation": "identity", "bias": init.chrono(20)},
    "Residual": {"residual": init.rotation(0.98, period=28), "path": "tanh", "coupling": 0.1},
    "LinearRNN": {"parametrisation": "standard"},
}


def example(family, key=KEYS[0], dtype=jnp.float32):
    return families()[family](2, 6, **OPTIONS.get(family, {}), key=key, dtype=dtype)


def same(first, second):
    """Equal in every leaf and every static field, dtypes included."""
    return bool(eqx.tree_equal(first, second)) and all(
        a.dtype == b.dtype
        for a, b in zip(
            *(jax.tree.leaves(eqx.filter(t, eqx.is_array)) for t in (first, second)), strict=True
        )
    )


def test_the_families_are_the_cells_that_echoic_has():
    assert set(families()) == {
        name
        for name in cells.__all__
        if isinstance(getattr(cells, name), type) and issubclass(getattr(cells, name), AbstractCell)
    } - {"Network"}
    assert len(families()) >= 9


@pytest.mark.parametrize("family", sorted(families()))
def test_every_cell_comes_back_with_its_law(tmp_path, family):
    cell = example(family)
    assert cell.hyperparameters() is not None
    again = echoic.load(echoic.save(cell, tmp_path / "a.safetensors"))
    assert same(cell, again)
    assert again.hyperparameters() == cell.hyperparameters()
    assert not same(example(family, KEYS[1]), again)


@pytest.mark.slow
def test_double_precision(tmp_path, x64):
    cell = example("GRU", dtype=jnp.float64)
    again = echoic.load(echoic.save(cell, tmp_path / "a.safetensors"))
    assert same(cell, again)
    with jax.enable_x64(False):
        single = echoic.load(tmp_path / "a.safetensors")
        assert same(cast(cell, jnp.float32), single)


@pytest.mark.slow
def test_networks_with_and_without_readout(tmp_path):
    stack = [cells.LSTM(2, 5, key=KEYS[1]), cells.GRU(5, 4, key=KEYS[2])]
    inner = cells.Network(stack)
    for network in (
        inner,
        cells.Network(stack, cells.Readout(4, 3, key=KEYS[3])),
        cells.Network([inner, cells.Elman(4, 3, key=KEYS[4])]),
        cells.Network([cells.Elman(3, 3, key=key) for key in KEYS[:12]]),
    ):
        again = echoic.load(echoic.save(network, tmp_path / "a.safetensors"))
        assert same(network, again)


def deep_models():
    """Cells of zeros and one: what is compared is that every array comes back in its place."""

    def numbered(key, shape, dtype):
        numbered.count += 1
        return jnp.full(shape, numbered.count, dtype)

    numbered.count = 0

    def cell(inputs=2):
        three = dict.fromkeys(("recurrent", "input", "bias"), numbered)
        return cells.Elman(inputs, 3, **three, key=KEYS[0])

    readout = cells.Readout(6, 2, weight=numbered, bias=numbered, key=KEYS[0])
    embedding = cells.Embedding(5, 3, weight=numbered, key=KEYS[0])
    tied = cells.TiedReadout(5, bias=numbered, key=KEYS[0])
    inner = cells.Network([cell(), cell(3)])
    return {
        "language model": cells.Network(cell(3), tied, embedding=embedding, dropout=0.25),
        "embedding alone": cells.Network([cell(3), cell(3)], embedding=embedding),
        "both directions": cells.Bidirectional(
            [(cell(), cell()), (cell(6), cell(6))], readout, dropout=0.5
        ),
        "without readout": cells.Bidirectional([(inner, cell())]),
        "untied": cells.Untied(lambda key: cell(), 4, key=KEYS[0]),
        "untied stack": cells.Untied(lambda key: inner, 4, key=KEYS[0]),
    }


@pytest.mark.parametrize("name", deep_models())
def test_deep_models_come_back(tmp_path, name):
    model = without_law(deep_models()[name])
    if name.startswith("untied"):  # so that the steps differ
        scale = jnp.arange(1.0, 5.0)
        model = jax.tree.map(
            lambda a: a * scale.reshape(-1, *[1] * (a.ndim - 1)) if eqx.is_array(a) else a, model
        )
    again = echoic.load(echoic.save(model, tmp_path / "a.safetensors"))
    assert same(model, again)
    changed = jax.tree.map(lambda a: a + 1 if eqx.is_array(a) else a, model)
    assert not same(changed, again)


def test_files_of_the_first_version_still_load(tmp_path):
    """Written here by hand, as version 1 wrote them: no word of embedding or dropout."""
    arrays = {
        "cells.0.recurrent": np.full((3, 3), 0.5, np.float32),
        "cells.0.input": np.ones((3, 2), np.float32),
        "cells.0.bias": np.zeros(3, np.float32),
        "readout.weight": np.full((1, 3), 2, np.float32),
        "readout.bias": np.ones(1, np.float32),
    }
    static = {"input_size": 2, "hidden_size": 3, "activation": "relu"}
    cell = {"family": "Elman", "static": static, "law": None}
    structure = {"family": "Network", "cells": [cell], "readout": True}
    text = json.dumps({"version": 1, "network": structure, "metadata": {"epoch": 3}})
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"\n{name} <f4 {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    path = tmp_path / "a.safetensors"
    save_file(arrays, path, {"echoic": text, "checksum": digest.hexdigest()})

    network = echoic.load(path)
    assert (network.embedding, network.dropout) == (None, 0.0)
    assert read_metadata(path) == {"epoch": 3}
    end = network.run(jnp.ones((1, 2, 2)), last=True).trajectory
    assert end.tolist() == [[5.0, 5.0, 5.0]]  # 2, then 0.5 * 3 * 2 + 2
    assert network.predict(end).tolist() == [[31.0]]


def test_trained_weights_lose_their_law(tmp_path):
    cell = example("LSTM")
    trained = eqx.tree_at(lambda cell: cell.bias, cell, cell.bias + 1)
    again = echoic.load(echoic.save(trained, tmp_path / "a.safetensors"))
    assert again.hyperparameters() is None
    np.testing.assert_array_equal(again.bias, trained.bias)


def test_a_law_that_only_its_author_knows_is_not_stored(tmp_path):
    own = jax.nn.initializers.orthogonal()
    cell = cells.Elman(1, 4, recurrent=own, key=KEYS[0])
    again = echoic.load(echoic.save(cell, tmp_path / "a.safetensors"))
    assert again.hyperparameters() is None
    np.testing.assert_array_equal(again.recurrent, cell.recurrent)


def test_metadata(tmp_path):
    kept = {"epoch": 3, "note": "ü", "losses": [0.5, 0.25]}
    path = echoic.save(example("GRU"), tmp_path / "a.safetensors", metadata=kept)
    assert read_metadata(path) == kept
    with pytest.raises(ValueError, match="metadata must be what JSON takes"):
        echoic.save(example("GRU"), path, metadata={"x": object()})
    assert read_metadata(path) == kept


def test_what_is_not_stored(tmp_path):
    class Own(AbstractCell):
        input_size: int = 1
        hidden_size: int = 1

        def initial_state(self):
            return jnp.zeros(1)

        def step(self, state, x):
            return state

        def read(self, state):
            return state

    with pytest.raises(ValueError, match=r"only echoic's own cells can be stored .*got Own"):
        echoic.save(Own(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        echoic.save(example("GRU"), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="dtype bfloat16: cast the cell to float32"):
        echoic.save(cast(example("GRU"), jnp.bfloat16), tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


# --- written whole or not at all --------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    return echoic.save(example("LSTM"), tmp_path / "a.safetensors")


def unharmed(path):
    return same(echoic.load(path), example("LSTM")) and [path] == list(path.parent.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(stored, monkeypatch, call):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=r"a\.safetensors could not be written: No space left"):
        echoic.save(example("LSTM", KEYS[5]), stored)
    monkeypatch.undo()
    assert unharmed(stored)


def test_a_write_that_breaks_off_leaves_the_old_file(stored):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(OSError, match="could not be written: File too large"):
            echoic.save(example("LSTM", KEYS[5]), stored)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert unharmed(stored)


def test_an_interrupted_write_leaves_the_old_file(stored, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        echoic.save(example("LSTM", KEYS[5]), stored)
    monkeypatch.undo()
    assert unharmed(stored)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="could not be written: No such file or directory"):
        echoic.save(example("GRU"), tmp_path / "no" / "a.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="could not be written: Permission denied"):
        echoic.save(example("GRU"), tmp_path / "a.safetensors")


# --- refusals -----------------------------------------------------------------------------------


def rewritten(path, change):
    """The file with its header changed by ``change`` and its checksum left as it was."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    outer = json.loads(content[8 : 8 + size])
    inner = json.loads(outer["__metadata__"]["echoic"])
    change(inner)
    outer["__metadata__"]["echoic"] = json.dumps(inner, sort_keys=True)
    header = json.dumps(outer).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    return path


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        echoic.load(tmp_path / "no.safetensors")
    with pytest.raises(ValueError, match="is a folder"):
        echoic.load(tmp_path)
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(ValueError, match=r"a\.safetensors is empty"):
        echoic.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin", ".pkl"])
def test_pickles_are_refused_with_the_sentence_that_converts_them(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(b"anything")
    with pytest.raises(ValueError, match=r"from safetensors\.torch import save_file; save_file\("):
        echoic.load(tmp_path / f"a{ending}")
    # Whatever its name: what torch.save writes, and a bare pickle.
    for start in (b"PK\x03\x04", b"\x80\x02", b"\x80\x04"):
        (tmp_path / "a.safetensors").write_bytes(start + bytes(100))
        with pytest.raises(ValueError, match="is a pickle"):
            echoic.load(tmp_path / "a.safetensors")


def test_files_that_are_cut_short(stored):
    whole = stored.read_bytes()
    for cut in (1, 7, 8, 50, len(whole) // 2, len(whole) - 1):
        stored.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"a\.safetensors is damaged, cut short"):
            echoic.load(stored)
    stored.write_bytes(whole + b"x")
    with pytest.raises(ValueError, match="damaged"):
        echoic.load(stored)


def test_every_flipped_bit_is_found(stored):
    whole = stored.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        stored.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.safetensors"):
            echoic.load(stored)


def test_random_bytes(tmp_path):
    path = tmp_path / "a.safetensors"
    rng = np.random.default_rng(1)
    for size in (1, 9, 100, 5000):
        path.write_bytes(rng.bytes(size))
        with pytest.raises(ValueError, match="damaged, cut short, or not a safetensors file"):
            echoic.load(path)


def test_foreign_files(tmp_path):
    save_file({"embed.weight": np.ones((3, 2), np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"neither an echoic network nor .*embed\.weight"):
        echoic.load(tmp_path / "a.safetensors")
    save_file({}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="Its tensors: none"):
        echoic.load(tmp_path / "a.safetensors")


def test_another_format_version(stored):
    rewritten(stored, lambda header: header.update(version=3))
    with pytest.raises(ValueError, match="has format version 3; this echoic reads up to version 2"):
        echoic.load(stored)


def test_a_changed_header_breaks_the_checksum(stored):
    rewritten(stored, lambda header: header["network"].update(family="GRU"))
    with pytest.raises(ValueError, match="its checksum does not match"):
        echoic.load(stored)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n.update(family="LSTN"), "unknown cell family 'LSTN'. Did you mean 'LSTM'"),
        (lambda n: n.update(family="os.system"), "unknown cell family"),
        (lambda n: n.update(family="Network"), "the header is incomplete"),
        (lambda n: n["static"].update(hidden_size=10**12), "must have shape"),
        (lambda n: n["static"].update(hidden_size=0), "hidden_size must lie in 1"),
        (lambda n: n["static"].update(evil=1), "cannot be built from"),
        (lambda n: n["static"].update(key=1), "cannot be built from"),
        (lambda n: n.pop("law"), "the header is incomplete"),
        (lambda n: n["law"].update(parameters=[["recurrent", {"init": "x", "fields": {}}]]), "inc"),
        (lambda n: n.update(family="GRU"), "GRU has the arrays"),
    ],
)
def test_a_forged_header_is_still_refused(stored, monkeypatch, change, message):
    monkeypatch.setattr("echoic.cells.store._checksum", lambda *_: "same")
    echoic.save(example("LSTM"), stored)
    rewritten(stored, lambda header: change(header["network"]))
    with pytest.raises(ValueError, match=message) as caught:
        echoic.load(stored)
    assert "a.safetensors" in str(caught.value)


def test_torch_options_are_not_for_echoic_files(stored):
    with pytest.raises(ValueError, match="prefix is for torch files"):
        echoic.load(stored, prefix="lstm")
