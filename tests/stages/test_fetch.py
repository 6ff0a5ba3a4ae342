"""Fetching: only whole official files are kept, and a failure says what to do."""

import functools
import gzip
import hashlib
import http.server
import io
import json
import threading
from dataclasses import replace

import pytest

from heldout import registry
from heldout.errors import HeldoutError
from heldout.stages import fetch


def change_source(monkeypatch, kind, name, **changes):
    """Register the entry with another source for the length of a test."""
    entry = registry.load(kind, name)
    monkeypatch.setitem(registry.REGISTERED[kind], name, replace(entry, source=replace(entry.source, **changes)))


def test_mnist5k_comes_from_an_installed_package(tmp_path):
    fetch.fetch("mnist5k", tmp_path / "raw", None)
    fetch.check("mnist5k", tmp_path / "raw")
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {"mnist_5k.csv.gz", "fetched.json"}


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_checksums_are_those_that_torchvision_publishes(name):
    from torchvision import datasets

    source = registry.load("dataset", name).source
    if name == "cifar10":
        official = dict((*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list))
        official[datasets.CIFAR10.meta["filename"]] = datasets.CIFAR10.meta["md5"]
        official = {f"{datasets.CIFAR10.base_folder}/{file}": md5 for file, md5 in official.items()}
        assert source.archive == (datasets.CIFAR10.filename, datasets.CIFAR10.tgz_md5)
        assert source.addresses == (datasets.CIFAR10.url.removesuffix(datasets.CIFAR10.filename),)
    else:
        published = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]
        official = dict(published.resources)
        assert set(published.mirrors) <= set(source.addresses)
    assert source.files == official


def test_alexnets_checksum_and_size_agree_with_the_part_that_torchvision_publishes():
    from torchvision.models import AlexNet_Weights

    source = registry.load("weight", "alexnet").source
    published = AlexNet_Weights.IMAGENET1K_V1
    ((file, checksum),) = source.files.items()
    assert published.url == source.addresses[0] + file
    digits = checksum.removeprefix("sha256:")
    assert len(digits) == 64 and digits.startswith(file.rpartition("-")[2].removesuffix(".pth"))
    assert round(source.sizes[file] / 2**20, 3) == published.meta["_file_size"]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_every_file_that_is_downloaded_has_a_size(name):
    source = registry.load("dataset", name).source
    assert source.sizes.keys() == {*source.files, *(source.archive or ())[:1]}


@pytest.fixture
def small_mirror(tmp_path, monkeypatch):
    """A mirror of an MNIST that consists of one small file."""
    content = b"a few digits"
    (tmp_path / "mirror" / "mnist").mkdir(parents=True)
    (tmp_path / "mirror" / "mnist" / "digits.gz").write_bytes(content)
    change_source(monkeypatch, "dataset", "mnist", files={"digits.gz": hashlib.md5(content).hexdigest()})
    return tmp_path / "mirror"


def test_a_mirror_may_be_a_folder(small_mirror, tmp_path):
    fetch.fetch("mnist", tmp_path / "raw", str(small_mirror))
    fetch.check("mnist", tmp_path / "raw")
    record = json.loads((tmp_path / "raw" / "fetched.json").read_text())
    assert record["digits.gz"]["source"] == f"{small_mirror}/mnist/digits.gz"


def test_weights_are_fetched_as_datasets_are_and_held_to_the_hash_in_their_name(tmp_path, monkeypatch):
    content = b"a few weights"
    published = f"sha256:{hashlib.sha256(content).hexdigest()[:8]}"
    change_source(monkeypatch, "weight", "alexnet", files={"alexnet.pth": published})
    (tmp_path / "mirror" / "alexnet").mkdir(parents=True)
    (tmp_path / "mirror" / "alexnet" / "alexnet.pth").write_bytes(content)
    fetch.fetch("alexnet", tmp_path / "raw", str(tmp_path / "mirror"))
    assert (tmp_path / "raw" / "alexnet.pth").read_bytes() == content
    (tmp_path / "mirror" / "alexnet" / "alexnet.pth").write_bytes(b"others")
    with pytest.raises(HeldoutError, match=r"alexnet.pth \(damaged: its hash is"):
        fetch.fetch("alexnet", tmp_path / "raw", str(tmp_path / "mirror"))


def test_without_a_way_to_the_weights_the_error_names_the_features_that_need_none(tmp_path, monkeypatch):
    change_source(monkeypatch, "weight", "alexnet", addresses=(f"{tmp_path}/nowhere/",))
    with pytest.raises(HeldoutError, match="alexnet: cannot fetch .* or use `features: efficientnet`, which needs no"):
        fetch.fetch("alexnet", tmp_path / "raw", None)


def test_a_mirror_may_be_an_address(small_mirror, tmp_path):
    def handler(*arguments):
        return http.server.SimpleHTTPRequestHandler(*arguments, directory=str(small_mirror))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        fetch.fetch("mnist", tmp_path / "raw", address)
        fetch.check("mnist", tmp_path / "raw")
        with pytest.raises(
            HeldoutError, match=r"fashion_mnist: cannot fetch http://127.0.0.1:\d+/fashion_mnist/train-im"
        ):
            fetch.fetch("fashion_mnist", tmp_path / "other", address)
    finally:
        server.shutdown()


@pytest.mark.parametrize("sent", [0, 5], ids=["between two files", "in the middle of one"])
def test_a_mirror_that_vanishes_leaves_nothing_and_the_next_run_heals(small_mirror, tmp_path, monkeypatch, sent):
    """The second file is announced in full, and after a few bytes the connection ends."""
    content = b"a few more digits"
    files = registry.load("dataset", "mnist").source.files | {"more.gz": hashlib.md5(content).hexdigest()}
    change_source(monkeypatch, "dataset", "mnist", files=files)

    class Vanishing(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith("more.gz"):
                return super().do_GET()
            if sent:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:sent])
            self.close_connection = True

    handler = functools.partial(Vanishing, directory=str(small_mirror))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(HeldoutError, match="mnist/more.gz") as error:
            fetch.fetch("mnist", tmp_path / "raw", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
    assert "\n" not in str(error.value) and not (tmp_path / "raw").exists()
    (small_mirror / "mnist" / "more.gz").write_bytes(content)
    fetch.fetch("mnist", tmp_path / "raw", str(small_mirror))
    fetch.check("mnist", tmp_path / "raw")


def test_what_an_installed_package_holds_needs_no_mirror(small_mirror, tmp_path):
    fetch.fetch("mnist5k", tmp_path / "raw", str(small_mirror))
    fetch.check("mnist5k", tmp_path / "raw")


def test_a_file_that_fails_its_checksum_is_refused_and_not_kept(small_mirror, tmp_path):
    (small_mirror / "mnist" / "digits.gz").write_bytes(b"a few digit")
    with pytest.raises(
        HeldoutError, match=r"mnist/digits.gz \(damaged: its hash is \w+, published \w+; it was removed\)"
    ):
        fetch.fetch("mnist", tmp_path / "raw", str(small_mirror))
    assert not (tmp_path / "raw").exists()


def test_a_file_that_the_mirror_lacks_is_named(small_mirror, tmp_path):
    with pytest.raises(
        HeldoutError, match="cifar10: cannot fetch .*cifar-10-batches-py/batches.meta .*unset the mirror"
    ):
        fetch.fetch("cifar10", tmp_path / "raw", str(small_mirror))


def test_unreachable_addresses_are_named_with_the_ways_out(tmp_path, monkeypatch):
    # the discard port: nothing answers
    change_source(monkeypatch, "dataset", "mnist", addresses=("http://127.0.0.1:9/mnist/",))
    with pytest.raises(HeldoutError) as error:
        fetch.fetch("mnist", tmp_path / "raw", None)
    for part in ("http://127.0.0.1:9/mnist/train-images-idx3-ubyte.gz", "HELDOUT_MIRROR", "mnist5k"):
        assert part in str(error.value)
    assert not (tmp_path / "raw").exists()


def test_the_next_address_is_asked_when_one_gives_a_damaged_file(small_mirror, tmp_path, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "digits.gz").write_bytes(b"a few")
    addresses = (f"{tmp_path}/broken/", f"{small_mirror}/mnist/")
    change_source(monkeypatch, "dataset", "mnist", addresses=addresses)
    fetch.fetch("mnist", tmp_path / "raw", None)
    fetch.check("mnist", tmp_path / "raw")


def test_the_way_out_names_what_a_mirror_must_hold(tmp_path, monkeypatch):
    change_source(monkeypatch, "dataset", "cifar10", addresses=("http://127.0.0.1:9/",))
    with pytest.raises(HeldoutError, match="holds cifar10/cifar-10-batches-py/batches.meta and so on"):
        fetch.fetch("cifar10", tmp_path / "raw", None)


def test_an_address_that_is_none_is_one_line(tmp_path):
    with pytest.raises(HeldoutError, match="mnist: cannot fetch http://127.0.0.1:9/a b/"):
        fetch.fetch("mnist", tmp_path / "raw", "http://127.0.0.1:9/a b")


def test_a_fetched_file_that_was_damaged_later_is_noticed(tmp_path):
    fetch.fetch("mnist5k", tmp_path / "raw", None)
    file = tmp_path / "raw" / "mnist_5k.csv.gz"
    file.write_bytes(b"\0" + file.read_bytes()[1:])
    with pytest.raises(HeldoutError, match="is damaged"):
        fetch.check("mnist5k", tmp_path / "raw")
    file.unlink()  # it may lie in a folder of the user, so only the user deletes it
    with pytest.raises(HeldoutError, match="is missing; delete .* and run again"):
        fetch.check("mnist5k", tmp_path / "raw")


def test_debians_files_are_restored_to_the_official_ones():
    """The header alone differs: what is put back is what gzip wrote when the official files were packed."""
    restore = registry.load("dataset", "fashion_mnist").source.restore
    with io.BytesIO() as official, io.BytesIO() as stripped:
        for target, name, when in ((official, "t10k-labels-idx1-ubyte", 1504176627), (stripped, "", 0)):
            with gzip.GzipFile(name, "wb", 6, target, when) as file:
                file.write(b"labels")
        assert official.getvalue() != stripped.getvalue()
        # Python's own gzip writes 255 (unknown) where the system stands; both sides alike.
        assert restore("t10k-labels-idx1-ubyte.gz", stripped.getvalue()) == official.getvalue()
