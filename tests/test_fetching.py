"""Fetching: only whole official files are kept, and a failure says what to do."""

import http.server
import shutil
import threading

import pytest

from heldout import fetching, registry
from heldout.errors import HeldoutError


def test_mnist5k_comes_from_an_installed_package(tmp_path):
    fetching.fetch("mnist5k", tmp_path / "raw", None)
    fetching.check("mnist5k", tmp_path / "raw")
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {"mnist_5k.csv.gz", "fetched.json"}


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_checksums_are_those_that_torchvision_publishes(name):
    from torchvision import datasets

    plugin = registry.load("dataset", name)
    if name == "cifar10":
        official = {file: md5 for file, md5 in (*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list)}
        official[datasets.CIFAR10.meta["filename"]] = datasets.CIFAR10.meta["md5"]
        official = {f"{datasets.CIFAR10.base_folder}/{file}": md5 for file, md5 in official.items()}
        assert plugin.plugin.archive == (datasets.CIFAR10.filename, datasets.CIFAR10.tgz_md5)
        assert plugin.plugin.addresses == (datasets.CIFAR10.url.removesuffix(datasets.CIFAR10.filename),)
    else:
        source = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]
        official = dict(source.resources)
        assert set(source.mirrors) <= set(plugin.plugin.addresses)
    assert plugin.facts["files"] == official


@pytest.fixture
def small_mirror(tmp_path):
    """A mirror of mnist5k: the one dataset whose file every machine has."""
    fetching.fetch("mnist5k", tmp_path / "raw", None)
    (tmp_path / "mirror" / "mnist5k").mkdir(parents=True)
    shutil.copy(tmp_path / "raw" / "mnist_5k.csv.gz", tmp_path / "mirror" / "mnist5k")
    shutil.rmtree(tmp_path / "raw")
    return tmp_path / "mirror"


def test_a_mirror_may_be_a_folder(small_mirror, tmp_path):
    fetching.fetch("mnist5k", tmp_path / "raw", str(small_mirror))
    fetching.check("mnist5k", tmp_path / "raw")
    assert str(small_mirror) in (tmp_path / "raw" / "fetched.json").read_text()


def test_a_mirror_may_be_an_address(small_mirror, tmp_path):
    def handler(*arguments):
        return http.server.SimpleHTTPRequestHandler(*arguments, directory=str(small_mirror))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        fetching.fetch("mnist5k", tmp_path / "raw", address)
        fetching.check("mnist5k", tmp_path / "raw")
        with pytest.raises(HeldoutError, match=r"mnist: the mirror does not give http://127.0.0.1:\d+/mnist/train-im"):
            fetching.fetch("mnist", tmp_path / "other", address)
    finally:
        server.shutdown()


def test_a_file_that_fails_its_checksum_is_refused_and_not_kept(small_mirror, tmp_path):
    file = small_mirror / "mnist5k" / "mnist_5k.csv.gz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(HeldoutError, match=r"mnist5k/mnist_5k.csv.gz is damaged: MD5 \w+, published 1edea4bd.*removed"):
        fetching.fetch("mnist5k", tmp_path / "raw", str(small_mirror))
    assert not (tmp_path / "raw").exists()


def test_a_file_that_the_mirror_lacks_is_named(small_mirror, tmp_path):
    with pytest.raises(HeldoutError, match="the mirror does not give .*cifar-10-batches-py/batches.meta .*unset the mirror"):
        fetching.fetch("cifar10", tmp_path / "raw", str(small_mirror))


def test_unreachable_addresses_are_named_with_the_ways_out(tmp_path, monkeypatch):
    plugin = registry.load("dataset", "mnist").plugin
    monkeypatch.setattr(plugin, "addresses", ("http://127.0.0.1:9/mnist/",))  # the discard port: nothing answers
    with pytest.raises(HeldoutError) as error:
        fetching.fetch("mnist", tmp_path / "raw", None)
    for part in ("http://127.0.0.1:9/mnist/train-images-idx3-ubyte.gz", "HELDOUT_MIRROR", "mnist5k"):
        assert part in str(error.value)
    assert not (tmp_path / "raw").exists()


def test_a_fetched_file_that_was_damaged_later_is_noticed(tmp_path):
    fetching.fetch("mnist5k", tmp_path / "raw", None)
    file = tmp_path / "raw" / "mnist_5k.csv.gz"
    file.write_bytes(b"\0" + file.read_bytes()[1:])
    with pytest.raises(HeldoutError, match="is damaged"):
        fetching.check("mnist5k", tmp_path / "raw")
    with pytest.raises(HeldoutError, match="is missing; delete .* and run again"):
        fetching.check("mnist5k", tmp_path / "raw")
