"""Downloads, from a server on this machine: complete and right, or not there at all."""

import dataclasses
import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest

from echoic.data import DataError, DownloadError, catalogue, fetch, load, registry

TEXT = b"abcab cabca bcabc" * 100


class Handler(http.server.SimpleHTTPRequestHandler):
    requests = 0

    def do_GET(self):
        type(self).requests += 1
        if "cut-short" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", str(len(TEXT)))
            self.end_headers()
            self.wfile.write(TEXT[:100])
            return
        super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "input.txt").write_bytes(TEXT)
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        Handler.requests = 0
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.fixture(params=["sha256", "md5"])
def entry(request, server, tmp_path, monkeypatch):
    """A data set whose public address is the local server."""
    address, _ = server
    digest = hashlib.new(request.param, TEXT).hexdigest()
    file = catalogue.File(
        "folder/input.txt", len(TEXT), f"{request.param}:{digest}", f"{address}/input.txt"
    )
    known = catalogue.Entry("small", "A small text.", "none", "text", (file,))
    monkeypatch.setitem(catalogue.REGISTRY, "small", known)
    monkeypatch.delenv("ECHOIC_DATA", raising=False)
    for module in ("registry", "download"):
        monkeypatch.setattr(f"echoic.data.{module}.cache_folder", lambda: tmp_path / "cache")
    return known


def left_over(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_fetch_then_load(entry, tmp_path):
    with pytest.raises(FileNotFoundError, match="echoic data fetch small"):
        load("small")
    (path,) = fetch("small")
    assert path == tmp_path / "cache" / "folder" / "input.txt"
    assert load("small").samples.shape == (len(TEXT),)
    fetch("small")
    assert Handler.requests == 1, "an intact file is not downloaded again"
    path.write_bytes(b"damaged")
    fetch("small")
    assert path.read_bytes() == TEXT


def test_fetch_from_a_mirror_into_a_folder(entry, server, tmp_path):
    address, folder = server
    (folder / "mirror").mkdir()
    (folder / "mirror" / "input.txt").write_bytes(TEXT)
    (path,) = fetch("small", url=f"{address}/mirror/", folder=tmp_path / "mine")
    assert path.read_bytes() == TEXT
    assert np.array_equal(load("small", data_dir=tmp_path / "mine").samples[:3], [1, 2, 3])


def test_another_file_is_refused_and_removed(entry, server, tmp_path):
    _, folder = server
    (folder / "input.txt").write_bytes(TEXT + b"!")
    with pytest.raises(DownloadError, match="not the expected file: its checksum is not"):
        fetch("small")
    assert left_over(tmp_path / "cache") == []


def test_a_transfer_that_breaks_off_leaves_nothing(entry, server, tmp_path):
    address, _ = server
    with pytest.raises(DownloadError):
        fetch("small", url=f"{address}/cut-short")
    assert left_over(tmp_path / "cache") == []


def test_no_such_file_and_no_server(entry, server, tmp_path):
    address, _ = server
    with pytest.raises(DownloadError, match=r"404.*by hand and put it at"):
        fetch("small", url=f"{address}/nowhere")
    with pytest.raises(DownloadError, match="could not download"):
        fetch("small", url="http://127.0.0.1:9", timeout=2.0)
    assert left_over(tmp_path / "cache") == []


def test_a_set_without_an_address(entry):
    with pytest.raises(DataError, match="'silverbox' has no public address"):
        fetch("silverbox")


def test_every_public_address_is_named_after_its_file():
    offered = {name for name, known in registry.REGISTRY.items() if known.downloads}
    assert offered == {
        "mnist_test",
        "mnist_train",
        "fashion_mnist_test",
        "fashion_mnist_train",
        "tinyshakespeare",
        "text8",
        "enwik8",
    }
    for name in offered:
        for file in registry.REGISTRY[name].downloads:
            assert file.url.rsplit("/", 1)[1] == file.name.rsplit("/", 1)[-1]
            assert dataclasses.astuple(file)[1] > 0
