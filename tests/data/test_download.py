"""A download arrives whole and checked, or not at all, and the error names the ways to the data."""

import contextlib
import datetime
import errno
import hashlib
import http.server
import lzma
import os
import shutil
import socket
import ssl
import threading
import traceback

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from helpers import serving, tiny

from fedlab import data
from fedlab.data import download

THREE_WAYS = ("Google's storage", "FEDLAB_EMNIST_URL", 'load("emnist", path=')


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch):
    monkeypatch.setattr(download, "ENOUGH_BYTES", 0)


# A full disk


@pytest.fixture
def nearly_full(monkeypatch, any_disk_will_do):
    monkeypatch.setattr(download, "ENOUGH_BYTES", 6 * 10**9)
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


def test_too_little_space_is_told_before_a_file_is_unpacked(whole, tmp_path, nearly_full):
    packed = tmp_path / "own.sqlite.xz"
    packed.write_bytes(lzma.compress(whole.read_bytes()))
    with pytest.raises(OSError, match=r"not enough space in .*cache \(0.0 GB free\).* cache_dir="):
        data.load_sqlite(packed, cache_dir=tmp_path / "cache")
    assert tiny.leftovers(tmp_path / "cache") == []


def test_too_little_space_is_told_before_anything_is_downloaded(tmp_path, nearly_full):
    with pytest.raises(OSError, match=r"not enough space .* needs 6 GB there: free some"):
        data.load_emnist(url="http://127.0.0.1:1/none.lzma", cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "module, step, code",
    [(download.pooch, "HTTPDownloader", errno.ENOSPC), (shutil, "copyfileobj", errno.EDQUOT)],
)
def test_a_disk_that_fills_up_is_not_called_a_failed_download(
    server, tmp_path, monkeypatch, module, step, code
):
    def fill(*args, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, step, fill)
    with pytest.raises(OSError, match="not enough space") as caught:
        data.load_emnist(url=server.url, cache_dir=tmp_path)
    assert not isinstance(caught.value, ConnectionError)
    assert list(tmp_path.iterdir()) == []


# Downloading


@pytest.fixture(scope="module")
def packed_bytes(whole):
    return lzma.compress(whole.read_bytes(), format=lzma.FORMAT_ALONE)


@pytest.fixture
def server(packed_bytes, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("FEDLAB_EMNIST_URL", raising=False)
    with serving.serve(packed_bytes) as server:
        yield server


def test_downloads_once(server, tmp_path):
    for _ in range(2):
        train, test = data.load_emnist(url=server.url, cache_dir=tmp_path / "deep" / "cache")
        tiny.assert_holds(train, tiny.TRAIN)
        tiny.assert_holds(test, tiny.TEST)
    assert server.num_requests == 1
    assert tiny.leftovers(tmp_path / "deep" / "cache") == []


def test_the_variable_names_a_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_EMNIST_URL", server.url)
    tiny.assert_holds(data.load("emnist", cache_dir=tmp_path).train, tiny.TRAIN)
    assert server.num_requests == 1


def test_google_s_storage_is_asked_where_no_mirror_is_named(monkeypatch, tmp_path, packed_bytes):
    asked = []
    monkeypatch.setattr(
        download.pooch.HTTPDownloader,
        "__call__",
        lambda self, url, file, pooch: (asked.append(url), file.write(packed_bytes)),
    )
    monkeypatch.delenv("FEDLAB_EMNIST_URL", raising=False)
    data.load_emnist(cache_dir=tmp_path)
    assert asked == ["https://storage.googleapis.com/tff-datasets-public/emnist_all.sqlite.lzma"]


def test_a_known_hash_is_checked(server, tmp_path, packed_bytes):
    right = hashlib.sha256(packed_bytes).hexdigest()
    with pytest.raises(
        ValueError, match=f"does not match the known hash.* got {right}.*Three ways"
    ):
        data.load_emnist(url=server.url, known_hash="0" * 64, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    train, _ = data.load_emnist(url=server.url, known_hash=right, cache_dir=tmp_path)
    tiny.assert_holds(train, tiny.TRAIN)


@pytest.mark.parametrize("is_packed", [True, False])
def test_neither_a_download_nor_what_comes_out_of_it_fills_the_disk(
    server, tmp_path, monkeypatch, packed_bytes, is_packed
):
    monkeypatch.setattr(download, "MAX_BYTES", len(packed_bytes) - is_packed)
    with pytest.raises(ValueError, match=f"{server.url} has more than .* GB. Three ways"):
        data.load_emnist(url=server.url, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def redirecting(location, folder, is_https):
    """Yields the address of a server that redirects, with a certificate that requests accepts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", location)
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as redirector:
        if is_https:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(write_certificate(folder / "certificate.pem"))
            redirector.socket = context.wrap_socket(redirector.socket, server_side=True)
        threading.Thread(target=redirector.serve_forever, args=(0.05,), daemon=True).start()
        yield f"{'https' if is_https else 'http'}://localhost:{redirector.server_port}/x.lzma"
        redirector.shutdown()


def write_certificate(path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(certificate.public_bytes(encoding) + key.private_bytes(encoding, *private))
    return path


@pytest.mark.parametrize("is_https", [True, False])
@pytest.mark.parametrize("protocol", ["http", "ftp", "file"])
def test_no_redirection_leaves_https_or_the_web(server, tmp_path, monkeypatch, protocol, is_https):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    location, cache = server.url.replace("http", protocol, 1), tmp_path / "cache"
    with redirecting(location, tmp_path, is_https) as url:
        if protocol == "http" and not is_https:  # asked for http, and gets it
            tiny.assert_holds(data.load_emnist(url=url, cache_dir=cache)[0], tiny.TRAIN)
            return
        error = ValueError if is_https else ConnectionError
        with pytest.raises(error, match=f"{url}.* Three ways"):
            data.load_emnist(url=url, cache_dir=cache)
    assert server.num_requests == 0
    assert list(cache.iterdir()) == []


FAILURES = {
    "cut_short": (ConnectionError, lambda good: {"content": good[:500], "claimed": len(good)}),
    "not_found": (ConnectionError, lambda good: {"content": b"no", "status": 404}),
    "server_error": (ConnectionError, lambda good: {"content": b"", "status": 503}),
    "sign_in_page": (ValueError, lambda good: {"content": b"<html>Sign in</html>"}),
    "nothing": (ValueError, lambda good: {"content": b""}),
    "cut_before_upload": (ValueError, lambda good: {"content": good[: len(good) // 2]}),
    "another_file": (ValueError, lambda good: {"content": lzma.compress(b"another" * 99)}),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_download_names_the_ways_leaves_nothing_and_can_be_tried_again(
    server, packed_bytes, tmp_path, failure
):
    error, build_answer = FAILURES[failure]
    server.answer(**build_answer(packed_bytes))
    with pytest.raises(error) as caught:
        data.load_emnist(url=server.url, cache_dir=tmp_path)
    assert server.url in str(caught.value)
    assert all(way in str(caught.value) for way in THREE_WAYS)
    assert list(tmp_path.iterdir()) == []
    server.answer(packed_bytes)
    tiny.assert_holds(data.load_emnist(url=server.url, cache_dir=tmp_path)[0], tiny.TRAIN)


def test_a_download_that_hardly_moves_is_ended(tmp_path, monkeypatch):
    """A byte now and then, for ever, without a length: no time-out notices it."""
    monkeypatch.setattr(download, "_SPEED_SECONDS", 1)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    is_over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not is_over.wait(0.05):
                    self.wfile.write(b"x")
                    self.wfile.flush()

    before = threading.active_count()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as slow:
        serving_thread = threading.Thread(target=slow.serve_forever, args=(0.05,), daemon=True)
        serving_thread.start()
        url = f"http://127.0.0.1:{slow.server_port}/x.lzma"
        try:
            with pytest.raises(
                ConnectionError, match=r"less than 1000 bytes a second\). Three ways"
            ):
                data.load_emnist(url=url, cache_dir=tmp_path)
        finally:
            is_over.set()
            slow.shutdown()
    serving_thread.join()
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


SECRET_ADDRESSES = {
    "http://user:hunter2@{host}/x.lzma?token=hunter2#hunter2": "http://…@{host}/x.lzma?…",
    "http://{host}/x.lzma?token=hunter2": "http://{host}/x.lzma?…",
    "http://user:hun?ter2@{host}/x.lzma": "http://…?…",
    "http://user:hunter2@/{host}": "http://…@/{host}",
    "user:hunter2@{host}/x.lzma": "…@{host}/x.lzma",
    "ftp://user:hunter2@{host}/x.lzma": "ftp://…@{host}/x.lzma",
}


@pytest.mark.parametrize("address", SECRET_ADDRESSES)
@pytest.mark.parametrize("kind", ["not_found", "sign_in_page", "wrong_hash"])
def test_no_secret_of_an_address_is_told(server, packed_bytes, tmp_path, capsys, address, kind):
    if kind != "wrong_hash":
        server.answer(**FAILURES[kind][1](packed_bytes))
    host = server.url.split("/")[2]
    with pytest.raises((ConnectionError, ValueError)) as caught:
        data.load_emnist(url=address.format(host=host), known_hash="0" * 64, cache_dir=tmp_path)
    assert SECRET_ADDRESSES[address].format(host=host) in str(caught.value)
    told = "".join(traceback.format_exception(caught.value)) + capsys.readouterr().err
    assert "hunter2" not in told and "ter2" not in told and "user" not in told


def test_a_refused_connection_names_the_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as bound:  # bound and not listening: nobody answers here
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/{tiny.NAME}.lzma"
        with pytest.raises(ConnectionError) as caught:
            data.load_emnist(url=url, cache_dir=tmp_path)
    assert all(way in str(caught.value) for way in (url, *THREE_WAYS))
    assert list(tmp_path.iterdir()) == []


def test_a_download_cut_short_by_someone_else_is_told_with_the_remedy(whole, tmp_path):
    cached = tmp_path / tiny.NAME  # as TFF's own loader leaves it
    cached.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(
        ValueError, match=rf"{tiny.NAME} is cut off: 5000 of \d+ bytes.*[Dd]elete it"
    ):
        data.load_emnist(cache_dir=tmp_path)
    assert cached.stat().st_size == 5000  # the learner's to delete
