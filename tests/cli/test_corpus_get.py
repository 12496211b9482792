"""`s2sbot corpus get` as a user runs it, against a server of the test."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from https_server import AUTHORITY, Server, head, loopback_policy, wait_until, whole

import s2sbot.downloads
from s2sbot.cli import corpus_get
from s2sbot.cli.corpus_get import get
from s2sbot.downloads import KnownCorpus, RemoteFile, Transfer, known_corpora
from s2sbot.errors import CorpusError

BODY = b"Who are you?\tI am the engine.\n" * 5000
SHA = hashlib.sha256(BODY).hexdigest()
TESTS = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("https_proxy", "HTTPS_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)

    def call(*args, code=0, stdin=None):
        result = CliRunner().invoke(get, [str(arg) for arg in args], input=stdin, obj=loopback_policy())
        if isinstance(result.exception, CorpusError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def ferry(monkeypatch):
    """Make one corpus known, of two files on a server, and return the server."""
    with Server(whole(BODY)) as server:
        corpora = {
            "ferry": KnownCorpus(
                "ferry",
                "Talks on a ferry.",
                "https://example.org/ferry",
                "CC0 1.0",
                "Marrow: Talks. 1999.",
                "chat",
                ("en",),
                "Train on it.",
                tuple(RemoteFile(name, (server.url(f"/{name}"),), SHA, len(BODY)) for name in ("a.tsv", "b.tsv")),
                reader="tsv",
                read=("a.tsv",),
            )
        }
        monkeypatch.setattr(s2sbot.downloads, "known_corpora", lambda: corpora)
        yield server


@pytest.mark.parametrize("args", [[], ["--list"]])
def test_the_list_names_every_corpus(run, args):
    output = run(*args).stdout
    for corpus in known_corpora().values():
        [line] = [line for line in output.splitlines() if line.startswith(f"{corpus.name} ")]
        assert corpus.licence in line
        assert ("by hand" in line) == (not corpus.files)
    assert "9.9 MB  en " in output


def test_a_corpus_is_downloaded_and_described(run, ferry, tmp_path):
    result = run("ferry", "--yes")
    folder = tmp_path / "corpora" / "ferry"
    assert sorted(path.name for path in folder.iterdir()) == ["a.tsv", "b.tsv", "corpus.toml"]
    assert (folder / "a.tsv").read_bytes() == BODY
    described = tomllib.loads((folder / "corpus.toml").read_text("utf-8"))
    assert described == {
        "name": "ferry",
        "description": "Talks on a ferry.",
        "licence": "CC0 1.0",
        "languages": ["en"],
        "files": ["a.tsv"],
        "reader": "tsv",
    }
    for said in ("CC0 1.0", "150.0 kB a.tsv from 127.0.0.1", "Marrow: Talks. 1999.", "Train on it."):
        assert said in result.stderr
    assert result.stdout == ""


def test_a_corpus_that_is_there_is_not_downloaded_again(run, ferry, tmp_path):
    run("ferry", "--yes", "--out", "data")
    (tmp_path / "data" / "corpus.toml").write_text("# mine\n")
    met = len(ferry.requests)
    assert "already, whole" in run("ferry", "--out", "data").stderr
    assert len(ferry.requests) == met
    assert (tmp_path / "data" / "corpus.toml").read_text() == "# mine\n"


def test_what_cannot_be_read_as_it_is_gets_no_description(run, ferry, tmp_path):
    corpora = s2sbot.downloads.known_corpora()
    corpora["ferry"] = dataclasses.replace(corpora["ferry"], ready=False)
    run("ferry", "--yes", "--out", "data")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["a.tsv", "b.tsv"]


def test_only_what_is_missing_is_downloaded(run, ferry, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.tsv").write_bytes(BODY)
    run("ferry", "--yes", "--out", "data")
    assert [request.target for request in ferry.requests] == ["/b.tsv"]


def test_nothing_is_downloaded_without_a_yes(run, ferry, tmp_path):
    assert "CC0 1.0" in run("ferry", stdin="n\n", code=1).stderr
    run("ferry", stdin="", code=1)
    assert ferry.requests == []
    assert not (tmp_path / "corpora").exists()
    run("ferry", stdin="y\n")
    assert len(ferry.requests) == 2


def test_a_break_leaves_no_description(run, ferry, tmp_path):
    ferry.answer = lambda request: [head(200, Content_Length=len(BODY), ETag='"one"'), BODY[:100]]
    with pytest.raises(CorpusError) as caught:
        run("ferry", "--yes")
    assert caught.value.hint == "the same command goes on from there"
    assert not (tmp_path / "corpora" / "ferry" / "corpus.toml").exists()
    ferry.answer = whole(BODY)
    run("ferry", "--yes")
    assert ferry.requests[1].start == 100


@pytest.mark.parametrize("name", [name for name, corpus in known_corpora().items() if not corpus.files])
def test_what_has_to_be_done_by_hand_is_said(run, name):
    with pytest.raises(CorpusError, match="not downloaded by its name alone") as caught:
        run(name)
    assert known_corpora()[name].page in caught.value.hint
    assert caught.value.exit_code == 1


def test_a_name_not_known(run):
    with pytest.raises(CorpusError, match="no corpus 'cornel'") as caught:
        run("cornel")
    assert caught.value.hint == "did you mean 'cornell'?"


def test_a_file_of_any_address(run, ferry, tmp_path):
    result = run(ferry.url("/talks.tar.gz?download=1"), "--sha256", SHA.upper(), "--size", len(BODY), "--yes")
    assert (tmp_path / "corpora" / "talks" / "talks.tar.gz").read_bytes() == BODY
    assert "licence" in result.stderr
    assert "s2sbot corpus inspect" in result.stderr
    assert "already, whole" in run(ferry.url("/talks.tar.gz"), "--sha256", SHA).stderr


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (["https://files.example.org/a.zip"], "needs --sha256"),
        (["https://files.example.org/a.zip", "--sha256", "abc"], "64 hexadecimal digits"),
        (["https://files.example.org/a.zip", "--sha256", "g" * 64], "64 hexadecimal digits"),
        (["https://files.example.org/a.zip", "--sha256", SHA, "--size", "0"], "--size"),
        (["cornell", "--sha256", SHA], "belong to a URL"),
        (["--sha256", SHA], "need a NAME or a URL"),
        (["--list", "--out", "data"], "need a NAME or a URL"),
    ],
)
def test_options_that_do_not_fit(run, args, cause):
    assert cause in run(*args, code=2).stderr


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://files.example.org/a.zip", "no https address"),
        ("https://files.example.org/", "no name for a file"),
        ("https://files.example.org/%2F..%2F..", "no name for a file"),
        ("https://10.0.0.1/a.zip", "no public address"),
    ],
)
def test_addresses_that_are_refused(run, tmp_path, url, cause):
    with pytest.raises(CorpusError, match=cause):
        run(url, "--sha256", SHA, "--yes")
    assert not list(tmp_path.rglob("*.zip*"))


def test_plain_lines_of_progress(monkeypatch, capsys):
    times = iter([0.0, 5.0, 12.0, 20.0])
    monkeypatch.setattr(corpus_get.time, "monotonic", lambda: next(times))
    report = corpus_get._Plain()
    for done in (2_000_000, 5_000_000, 8_000_000):
        report(Transfer("a.zip", done, 8_000_000, 1_000_000))
    assert capsys.readouterr().err.splitlines() == [
        "a.zip: 5.0 MB of 8.0 MB · 333.3 kB/s · 0:09 left",
        "a.zip: 8.0 MB of 8.0 MB · 350.0 kB/s",
    ]


def test_a_bar_on_a_terminal(run, ferry, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stderr = run("ferry", "--yes").stderr
    assert "150.0/150.0 kB" in stderr


CHILD = """
import json, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith("socket.") else None)
import s2sbot, s2sbot.downloads
from s2sbot.cli.corpus_get import get
for args in ([], ["--list"], ["--help"]):
    try:
        get(args, standalone_mode=False)
    except SystemExit:
        pass
quiet = list(opened)
from s2sbot.downloads import fetch, RemoteFile
try:
    fetch(RemoteFile("a", ("https://10.0.0.1/a",), "0" * 64), Path(sys.argv[1]))
except s2sbot.CorpusError:
    pass
print(json.dumps([quiet, sorted(set(opened))]))
"""


def test_listing_opens_no_connection(tmp_path):
    done = subprocess.run([sys.executable, "-c", CHILD, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    quiet, loud = json.loads(done.stdout.splitlines()[-1])
    assert quiet == []
    assert "socket.getaddrinfo" in loud, "the hook must hear what a download does"


INTERRUPTED = """
import signal
import sys
from pathlib import Path
from s2sbot.cli.corpus_get import get
from s2sbot.downloads import Policy
url, sha256, authority = sys.argv[1:]
policy = Policy(authorities=Path(authority), allowed=("127.0.0.1",))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
try:
    with get.make_context("get", [url, "--sha256", sha256, "--yes", "--out", "data"], obj=policy) as context:
        get.invoke(context)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are another matter there")
def test_control_c_keeps_what_arrived_and_says_so(tmp_path, run):
    with Server(whole(BODY, cut=1000, wait=20.0)) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, server.url(), SHA, AUTHORITY],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        part = tmp_path / "data" / "corpus.zip.part"
        # what is on the disk is written when the file is closed: its being there says that the body has begun
        wait_until(part.exists)
        wait_until(lambda: len(server.requests) == 1)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=30)[1]
        assert child.returncode == 130, said
        assert "the same command goes on from there" in said
        assert "Traceback" not in said
        had = part.stat().st_size
        server.answer = whole(BODY)
        run(server.url(), "--sha256", SHA, "--yes", "--out", "data")
    assert (tmp_path / "data" / "corpus.zip").read_bytes() == BODY
    assert server.requests[-1].start == had
