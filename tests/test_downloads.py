"""Files from a real HTTPS server that answers well, badly, slowly and with malice."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import time
import tomllib
from importlib.resources import files

import pytest
from https_server import AUTHORITY, Server, head, loopback_policy, whole
from hypothesis import given
from hypothesis import strategies as st

from s2sbot.downloads import Policy, RemoteFile, describe, fetch, is_complete, known_corpora
from s2sbot.downloads.addresses import Place, parse_url, resolve
from s2sbot.errors import CorpusError, S2SBotError
from s2sbot.text import open_corpus

BODY = bytes(range(256)) * 1500
SHA = hashlib.sha256(BODY).hexdigest()
LENGTH = len(BODY)
CUT = 100_000


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def remote(*urls, size=LENGTH, sha256=SHA, hosts=None):
    return RemoteFile("corpus.zip", urls, sha256, size, hosts)


def refused(folder, file, policy=None, report=None):
    """Return the error that `fetch` raises, after a look that no whole file lies there."""
    with pytest.raises(S2SBotError) as caught:
        fetch(file, folder, policy=policy or loopback_policy(), report=report)
    assert not (folder / file.name).exists()
    return caught.value


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def begin(folder, server, *, to=CUT):
    """Let a download be cut after `to` bytes."""
    answer, server.answer = server.answer, whole(BODY, cut=to)
    error = refused(folder, remote(server.url()))
    server.answer = answer
    assert error.hint == "the same command goes on from there"
    assert (folder / "corpus.zip.part").stat().st_size == to
    return error


# Good answers


def test_a_file_arrives_whole(tmp_path):
    reports = []
    with Server(whole(BODY)) as server:
        path = fetch(remote(server.url()), tmp_path / "new", policy=loopback_policy(), report=reports.append)
    assert path.read_bytes() == BODY
    assert names(tmp_path / "new") == ["corpus.zip"]
    assert reports[-1].done == reports[-1].total == len(BODY)
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    [request] = server.requests
    assert (request.method, request.target) == ("GET", "/corpus.zip")
    assert re.fullmatch(r"s2sbot/[\w.+]+", request.headers["user-agent"])
    assert request.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer", "range"} & request.headers.keys()


def test_a_whole_file_is_known_without_a_connection(tmp_path, monkeypatch):
    (tmp_path / "corpus.zip").write_bytes(BODY)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: pytest.fail("asked for a name"))
    file = remote("https://files.example.org/corpus.zip")
    assert is_complete(file, tmp_path)
    assert fetch(file, tmp_path).read_bytes() == BODY


def test_another_file_in_its_place_is_never_overwritten(tmp_path):
    (tmp_path / "corpus.zip").write_bytes(b"mine")
    with pytest.raises(CorpusError, match="is another file") as caught:
        fetch(remote("https://files.example.org/corpus.zip"), tmp_path)
    assert SHA in caught.value.message
    assert (tmp_path / "corpus.zip").read_bytes() == b"mine"


def test_chunks_without_a_length(tmp_path):
    def answer(request):
        yield head(200, Transfer_Encoding="chunked")
        for start in range(0, len(BODY), 50_000):
            piece = BODY[start : start + 50_000]
            yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        yield b"0\r\n\r\n"

    with Server(answer) as server:
        assert fetch(remote(server.url(), size=None), tmp_path, policy=loopback_policy()).read_bytes() == BODY


def test_a_body_that_ends_with_the_connection(tmp_path):
    with Server(lambda request: [head(200), BODY]) as server:
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY


def test_a_server_that_keeps_the_connection_open_is_not_waited_for(tmp_path):
    with Server(whole(BODY, wait=4.0)) as server:
        policy = loopback_policy(timeout=1.0, patience=1.0)
        assert fetch(remote(server.url()), tmp_path, policy=policy).read_bytes() == BODY


# Going on


@pytest.mark.parametrize("cut", [1, CUT, len(BODY) - 1])
def test_what_arrived_is_not_asked_for_again(tmp_path, cut):
    reports = []
    with Server(whole(BODY)) as server:
        begin(tmp_path, server, to=cut)
        path = fetch(remote(server.url()), tmp_path, policy=loopback_policy(), report=reports.append)
    assert path.read_bytes() == BODY
    assert names(tmp_path) == ["corpus.zip"]
    assert server.requests[1].headers["range"] == f"bytes={cut}-"
    assert server.requests[1].headers["if-range"] == '"one"'
    assert reports[0].resumed == cut < reports[0].done


def test_a_break_in_a_chunk_goes_on_too(tmp_path):
    with Server(
        lambda request: [head(200, Transfer_Encoding="chunked", ETag='"one"'), b"fffff\r\n", BODY[:CUT]]
    ) as server:
        error = refused(tmp_path, remote(server.url()))
        assert "broke" in error.message
        server.answer = whole(BODY)
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[1].start > 0


def test_a_server_without_ranges_begins_again(tmp_path):
    with Server(lambda request: [head(200, Content_Length=len(BODY)), BODY]) as server:
        begin(tmp_path, server)
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[1].start == CUT


def test_a_file_that_changed_begins_again(tmp_path):
    other = BODY[::-1]
    with Server(whole(other, version='"two"')) as server:
        begin(tmp_path, server)
        file = remote(server.url(), sha256=hashlib.sha256(other).hexdigest())
        assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == other


@pytest.mark.parametrize(
    "wrong",
    [
        head(416, Content_Length=0),
        head(206, Content_Length=5, Content_Range=f"bytes 7-11/{LENGTH}") + b"12345",
        head(206, Content_Length=5, Content_Range=f"bytes {CUT}-{CUT + 4}/{CUT + 5}") + b"12345",
        head(206, Content_Length=5) + b"12345",
    ],
    ids=["416", "another part", "of another length", "of no place"],
)
def test_a_wrong_part_begins_again(tmp_path, wrong):
    with Server(lambda request: [wrong] if request.start else whole(BODY)(request)) as server:
        begin(tmp_path, server)
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert [request.start for request in server.requests] == [0, CUT, 0]


def test_parts_that_nobody_asked_for_are_not_taken(tmp_path):
    answer = head(206, Content_Length=len(BODY), Content_Range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}") + BODY
    with Server(lambda request: [answer]) as server:
        assert "not asked for" in refused(tmp_path, remote(server.url())).message


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}], ids=["none", "weak"])
def test_without_a_version_the_hash_decides(tmp_path, headers):
    with Server(lambda request: [head(200, Content_Length=len(BODY), **headers), BODY[:CUT]]) as server:
        refused(tmp_path, remote(server.url()))
        server.answer = whole(BODY)
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[1].start == CUT
    assert "if-range" not in server.requests[1].headers


def test_the_date_of_the_last_change_is_a_version(tmp_path):
    date = "Tue, 01 Jan 2019 00:00:00 GMT"
    with Server(lambda request: [head(200, Content_Length=len(BODY), Last_Modified=date), BODY[:CUT]]) as server:
        refused(tmp_path, remote(server.url()))
        server.answer = whole(BODY, version=date)
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[1].headers["if-range"] == date


def test_a_damaged_note_begins_again(tmp_path):
    (tmp_path / "corpus.zip.part").write_bytes(b"who knows what")
    (tmp_path / "corpus.zip.part.json").write_text('{"url": ')
    with Server(whole(BODY)) as server:
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY


def test_a_damaged_part_is_found_out_and_begun_anew_once(tmp_path):
    with Server(whole(BODY)) as server:
        begin(tmp_path, server)
        with (tmp_path / "corpus.zip.part").open("r+b") as stream:
            stream.write(b"x")
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
        assert [request.start for request in server.requests] == [0, CUT, 0]
        (tmp_path / "corpus.zip").unlink()
        begin(tmp_path, server)
        assert "SHA-256" in refused(tmp_path, remote(server.url(), sha256="0" * 64)).message
        assert [request.start for request in server.requests[3:]] == [0, CUT, 0]
    assert names(tmp_path) == []


def test_a_whole_part_needs_no_connection(tmp_path):
    url = "https://files.example.org/corpus.zip"
    (tmp_path / "corpus.zip.part").write_bytes(BODY)
    (tmp_path / "corpus.zip.part.json").write_text(json.dumps({"url": url, "version": '"one"'}))
    assert fetch(remote(url), tmp_path).read_bytes() == BODY


CHUNKED = head(200, Transfer_Encoding="chunked", ETag='"portal"')
PORTAL = b"<p>Please log in</p>"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ([head(200, Content_Length=20), PORTAL], f"is 20 bytes long, expected are {LENGTH:,}"),
        ([CHUNKED, b"14\r\n" + PORTAL + b"\r\n0\r\n\r\n"], f"is 20 bytes long, expected are {LENGTH:,}"),
        ([head(200, Content_Length=LENGTH + 1), BODY], f"is {LENGTH + 1:,} bytes long"),
        ([head(200, Content_Length=LENGTH), BODY[:1000]], "too early"),
        ([head(200), BODY[:1000]], "too early"),
        ([head(503, Content_Length=0)], "answers 503"),
        ([head(200, Content_Encoding="gzip", Content_Length=LENGTH)], "'gzip'"),
    ],
    ids=["short", "chunked", "long", "broken", "broken without a length", "unavailable", "packed"],
)
def test_what_arrived_outlives_an_answer_that_has_less(tmp_path, answer, cause):
    with Server(lambda request: answer) as server:
        begin(tmp_path, server)
        error = refused(tmp_path, remote(server.url()))
        assert cause in error.message and f"{CUT:,} bytes of corpus.zip" in error.message and "kept" in error.message
        assert names(tmp_path) == ["corpus.zip.part", "corpus.zip.part.json"]
        assert (tmp_path / "corpus.zip.part").read_bytes() == BODY[:CUT]
        server.answer = whole(BODY)
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[-1].start == CUT
    assert names(tmp_path) == ["corpus.zip"]


def test_what_begins_anew_takes_the_place_of_fewer_bytes(tmp_path):
    with Server(lambda request: [head(200, Content_Length=LENGTH, ETag='"two"'), BODY[: 2 * CUT]]) as server:
        begin(tmp_path, server)
        assert f"{2 * CUT:,} bytes" in refused(tmp_path, remote(server.url())).message
        assert (tmp_path / "corpus.zip.part").read_bytes() == BODY[: 2 * CUT]
        server.answer = whole(BODY, version='"two"')
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[-1].headers["if-range"] == '"two"'


def test_an_answer_that_grows_longer_than_the_file_leaves_what_arrived(tmp_path):
    with Server(lambda request: [CHUNKED, *[b"10000\r\n" + bytes(65536) + b"\r\n"] * 10]) as server:
        begin(tmp_path, server, to=LENGTH - 1)
        error = refused(tmp_path, remote(server.url()))
    assert "longer than" in error.message and "kept" in error.message
    assert (tmp_path / "corpus.zip.part").read_bytes() == BODY[:-1]


def test_of_a_size_that_is_not_known_a_short_answer_is_taken_only_if_it_is_right(tmp_path):
    small = BODY[:1000]
    with Server(lambda request: [head(200, Content_Length=20), PORTAL]) as server:
        begin(tmp_path, server)
        file = remote(server.url(), size=None, sha256=hashlib.sha256(small).hexdigest())
        assert "SHA-256" in refused(tmp_path, file).message
        assert (tmp_path / "corpus.zip.part").stat().st_size == CUT
        server.answer = lambda request: [head(416)] if request.start else whole(small)(request)
        assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == small
    assert names(tmp_path) == ["corpus.zip"]


def test_a_version_of_fewer_bytes_does_not_keep_the_download_from_going_on(tmp_path):
    # as where many servers have one name, and each names the same file in its own way
    with Server(whole(BODY, version='"two"', cut=1000)) as server:
        begin(tmp_path, server)
        refused(tmp_path, remote(server.url()))
        server.answer = whole(BODY, version='"two"')
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[-1].start == CUT


def test_the_rest_may_come_in_several_answers(tmp_path):
    def bits(request):
        end = min(request.start + CUT, LENGTH)
        headers = {"Content_Length": end - request.start, "Content_Range": f"bytes {request.start}-{end - 1}/{LENGTH}"}
        return [head(206, ETag='"one"', **headers), BODY[request.start : end]]

    with Server(bits) as server:
        begin(tmp_path, server)
        for done in (2 * CUT, 3 * CUT):
            assert "too early" in refused(tmp_path, remote(server.url())).message
            assert (tmp_path / "corpus.zip.part").stat().st_size == done
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY


def test_a_body_without_a_length_that_breaks_off_goes_on(tmp_path):
    with Server(lambda request: [head(200, ETag='"one"'), BODY[:CUT]]) as server:
        error = refused(tmp_path, remote(server.url()))
        assert "too early" in error.message and f"{CUT:,} bytes" in error.message
        server.answer = whole(BODY)
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[1].start == CUT


# Going on at another address


def mirrored(mirror):
    """Answer at /a that there is nothing today, and at /b what `mirror` does."""
    return lambda request: mirror(request) if request.target == "/b" else [head(503, Content_Length=0)]


@pytest.fixture
def begun_at_a(tmp_path):
    with Server(whole(BODY, cut=CUT)) as server:
        file = remote(server.url("/a"), server.url("/b"))
        refused(tmp_path, file)
        yield server, file


def test_a_mirror_goes_on(tmp_path, begun_at_a):
    server, file = begun_at_a
    server.answer = mirrored(whole(BODY, version='"another"', cut=3 * CUT))
    refused(tmp_path, file)
    server.answer = mirrored(whole(BODY, version='"another"'))
    assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == BODY
    asked = [(request.target, request.start, request.headers.get("if-range")) for request in server.requests]
    assert asked == [
        ("/a", 0, None),
        ("/a", CUT, '"one"'),
        ("/b", CUT, None),
        ("/b", 3 * CUT, '"another"'),
    ]


def test_a_mirror_that_breaks_off_earlier_loses_nothing(tmp_path, begun_at_a):
    server, file = begun_at_a
    server.answer = mirrored(whole(BODY, version=None, cut=1000))
    assert f"{CUT:,} bytes" in refused(tmp_path, file).message
    assert (tmp_path / "corpus.zip.part").read_bytes() == BODY[:CUT]
    server.answer = whole(BODY)
    assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert (server.requests[-1].target, server.requests[-1].start) == ("/a", CUT)


def test_a_mirror_with_another_file_is_not_joined(tmp_path, begun_at_a):
    server, file = begun_at_a
    other, right = mirrored(whole(BODY[::-1])), whole(BODY)
    server.answer = lambda request: right(request) if len(server.requests) > 3 else other(request)
    assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert [request.start for request in server.requests] == [0, CUT, CUT, 0]


def test_a_wrong_length_is_no_reason_not_to_ask_a_mirror(tmp_path):
    portal, right = [head(200, Content_Length=20), PORTAL], whole(BODY)
    with Server(lambda request: portal if request.target == "/a" else right(request)) as server:
        file = remote(server.url("/a"), server.url("/b"))
        assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == BODY


def test_an_interrupt_keeps_what_arrived(tmp_path):
    def interrupt(transfer):
        if transfer.done > CUT:
            raise KeyboardInterrupt

    with Server(whole(BODY)) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(remote(server.url()), tmp_path, policy=loopback_policy(), report=interrupt)
        had = (tmp_path / "corpus.zip.part").read_bytes()
        assert len(had) > CUT
        assert had == BODY[: len(had)]
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[1].start == len(had)


def test_two_processes_do_not_write_one_file(tmp_path):
    errors = []

    def again(transfer):
        if not errors:
            errors.append(refused(tmp_path, remote(server.url())))

    with Server(whole(BODY)) as server:
        fetch(remote(server.url()), tmp_path, policy=loopback_policy(), report=again)
    assert "another process" in errors[0].message


# Not what was expected


def test_a_wrong_hash_says_both_and_removes_the_file(tmp_path):
    with Server(whole(BODY)) as server:
        error = refused(tmp_path, remote(server.url(), sha256="0" * 64))
    assert "0" * 64 in error.message and SHA in error.message
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [len(BODY) - 1, len(BODY) + 1])
def test_a_wrong_length_is_refused_before_the_body(tmp_path, size):
    with Server(whole(BODY)) as server:
        error = refused(tmp_path, remote(server.url(), size=size))
    assert f"{len(BODY):,}" in error.message and f"{size:,}" in error.message
    assert names(tmp_path) == []


def test_a_body_longer_than_said_is_cut_off(tmp_path):
    reports = []

    def endless(request):
        yield head(200, Transfer_Encoding="chunked")
        for _ in range(2000):
            yield b"10000\r\n" + bytes(65536) + b"\r\n"

    with Server(endless) as server:
        error = refused(tmp_path, remote(server.url()), report=reports.append)
        unknown = refused(tmp_path, remote(server.url(), size=None), loopback_policy(largest=200_000))
    assert "longer than 384,000 bytes" in error.message
    assert "longer than 200,000 bytes" in unknown.message
    assert reports[-1].done <= len(BODY)
    assert names(tmp_path) == []


def test_a_body_shorter_than_said_is_not_taken(tmp_path):
    with Server(lambda request: [head(200, Transfer_Encoding="chunked"), b"3\r\nabc\r\n0\r\n\r\n"]) as server:
        assert "is 3 bytes long" in refused(tmp_path, remote(server.url())).message


def test_a_file_above_the_cap_is_not_begun(tmp_path):
    with Server(whole(BODY)) as server:
        assert "larger than 1,000" in refused(tmp_path, remote(server.url()), loopback_policy(largest=1000)).message
        assert server.requests == []


def test_a_packed_answer_is_not_taken(tmp_path):
    with Server(lambda request: [head(200, Content_Encoding="gzip", Content_Length=len(BODY)), BODY]) as server:
        assert "'gzip'" in refused(tmp_path, remote(server.url())).message


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_error_of_the_server_is_named(tmp_path, status):
    with Server(lambda request: [head(status, Content_Length=0)]) as server:
        assert f"answers {status}" in refused(tmp_path, remote(server.url())).message


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200]
)
def test_what_is_no_http_is_no_traceback(tmp_path, answer):
    with Server(lambda request: [answer]) as server:
        assert "no proper answer" in refused(tmp_path, remote(server.url())).message


def test_the_next_address_is_tried(tmp_path):
    with Server(lambda request: whole(BODY)(request) if request.target == "/b" else [head(404)]) as server:
        file = remote(server.url("/a"), server.url("/b"))
        assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert [request.target for request in server.requests] == ["/a", "/b"]


# Time


def test_a_head_that_drips_is_not_waited_for(tmp_path):
    def drip(request):
        for byte in head(200, Content_Length=len(BODY)):
            yield bytes([byte])
            yield 0.1

    with Server(drip) as server:
        error = refused(tmp_path, remote(server.url()), loopback_policy(timeout=1.0, patience=0.4))
    assert "too long" in error.message


def test_a_body_that_stands_still_is_not_waited_for(tmp_path):
    with Server(whole(BODY, cut=CUT, wait=5.0)) as server:
        error = refused(tmp_path, remote(server.url()), loopback_policy(timeout=0.3))
    assert "too long" in error.message
    assert (tmp_path / "corpus.zip.part").stat().st_size == CUT


def test_a_body_that_drips_is_not_waited_for(tmp_path):
    def drip(request):
        yield head(200, Content_Length=len(BODY))
        for byte in BODY[:200]:
            yield bytes([byte])
            yield 0.05

    with Server(drip) as server:
        error = refused(tmp_path, remote(server.url()), loopback_policy(patience=0.4, slowest=1000.0))
    assert "bytes a second" in error.message


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path):
    with Server(lambda request: [5.0]) as server:
        assert "too long" in refused(tmp_path, remote(server.url()), loopback_policy(timeout=0.3)).message
        before = time.monotonic()
        assert "too long" in refused(tmp_path, remote(server.url()), loopback_policy(patience=0.3)).message
        assert time.monotonic() - before < 3


# Where it leads


def to(*urls):
    """Redirect from /0 to the first, from /1 to the second, and so on."""
    return lambda request: [head(302, Location=urls[int(request.target[1:])], Content_Length=0)]


def test_redirects_are_followed(tmp_path):
    def answer(request):
        return whole(BODY)(request) if request.target == "/5" else to("/1", "/2", "/3", "/4", "/5")(request)

    with Server(answer) as server:
        assert fetch(remote(server.url("/0")), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert len(server.requests) == 6


def test_a_resumed_download_asks_behind_a_redirect_for_its_rest(tmp_path):
    def answer(request):
        return to("/1")(request) if request.target == "/0" else whole(BODY, cut=cut)(request)

    with Server(answer) as server:
        cut = CUT
        refused(tmp_path, remote(server.url("/0")))
        cut = None
        assert fetch(remote(server.url("/0")), tmp_path, policy=loopback_policy()).read_bytes() == BODY
    assert server.requests[-1].start == CUT


def test_redirects_without_end_are_not_followed(tmp_path):
    with Server(to("/0")) as server:
        assert "more than 5 times" in refused(tmp_path, remote(server.url("/0"))).message
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("onward", "cause"),
    [
        ("http://127.0.0.1/corpus.zip", "no https"),
        ("file:///etc/passwd", "no https"),
        ("ftp://127.0.0.1/", "no https"),
        ("https://10.0.0.1/", "no public address"),
        ("https://169.254.169.254/latest/meta-data", "no public address"),
        ("https://[::1]/", "no public address"),
        ("https://[::ffff:127.0.0.1]/", "no public address"),
        ("https://2130706434/", "no public address"),
        ("https://me:secret@127.0.0.1/", "name or a password"),
        ("https://a b/", "no address"),
        ("https://127.0.0.1:99999/", "no address"),
    ],
)
def test_a_redirect_to_where_nothing_is_fetched_from(tmp_path, onward, cause):
    with Server(to(onward)) as server:
        error = refused(tmp_path, remote(server.url("/0")))
    assert cause in error.message
    assert "secret" not in str(error)
    assert len(server.requests) == 1


def test_a_redirect_stays_with_the_hosts_of_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", names_of(**{"127.0.0.1": "127.0.0.1", "files.example.org": "127.0.0.1"}))
    with Server(lambda request: whole(BODY)(request) if request.target == "/1" else to(onward)(request)) as server:
        onward = server.url("/1", host="files.example.org")
        error = refused(tmp_path, remote(server.url("/0"), hosts=("other.example.org",)))
        assert "files.example.org is none of the hosts" in error.message
        file = remote(server.url("/0"), hosts=("files.example.org",))
        assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == BODY


# Addresses


def names_of(**known):
    """Return a resolver that knows `known` alone; a list of addresses is given out one call after the other."""
    calls = {name: iter([given] if isinstance(given, str) else given) for name, given in known.items()}
    last = {}

    def getaddrinfo(host, port, *args, **kwargs):
        if host not in calls:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        address = last[host] = next(calls[host], last.get(host))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    return getaddrinfo


def test_the_loopback_is_refused_as_a_rule(tmp_path):
    with Server(whole(BODY)) as server:
        error = refused(tmp_path, remote(server.url()), Policy(authorities=AUTHORITY))
        assert "no public address" in error.message
        assert server.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1",
        "2002:a00:1::", "64:ff9b::a00:1", "::127.0.0.1", "2001:db8::1",
    ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused(tmp_path, monkeypatch, address):
    monkeypatch.setattr(socket, "getaddrinfo", names_of(**{"files.example.org": address}))
    error = refused(tmp_path, remote("https://files.example.org/corpus.zip"), Policy(timeout=0.1))
    assert f"files.example.org is {address}, which is no public address" in error.message


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_a_public_address_is_not_refused(monkeypatch, address):
    monkeypatch.setattr(socket, "getaddrinfo", names_of(**{"files.example.org": address}))
    [(_, found)] = resolve(Place("files.example.org", 443, "/"))
    assert found[:2] == (address, 443)


def test_one_private_address_among_public_ones_is_enough(monkeypatch):
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *args, **kwargs: [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("10.0.0.1", 443))],
    )
    with pytest.raises(CorpusError, match=r"10\.0\.0\.1"):
        resolve(Place("files.example.org", 443, "/"))


def test_the_address_that_was_looked_at_is_connected_to(tmp_path, monkeypatch):
    # the second answer would be another machine: a name must be asked for once
    resolver = names_of(**{"files.example.org": ["127.0.0.1", "10.0.0.1"]})
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with Server(whole(BODY)) as server:
        file = remote(server.url(host="files.example.org"))
        assert fetch(file, tmp_path, policy=loopback_policy()).read_bytes() == BODY
        assert server.requests[0].headers["host"] == f"files.example.org:{server.port}"


def test_a_name_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", names_of())
    error = refused(tmp_path, remote("https://files.example.org/corpus.zip"))
    assert error.message == "cannot reach files.example.org: its name is not known"


def test_nobody_listens(tmp_path):
    with Server(whole(BODY)) as server:
        url = server.url()
    assert "refused" in refused(tmp_path, remote(url)).message


def test_a_certificate_that_nobody_vouches_for(tmp_path):
    with Server(whole(BODY)) as server:
        error = refused(tmp_path, remote(server.url()), Policy(allowed=("127.0.0.1",)))
        assert "its certificate is not trusted" in error.message
        assert server.requests == []


def test_a_certificate_for_another_name(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", names_of(**{"other.example.org": "127.0.0.1"}))
    with Server(whole(BODY)) as server:
        error = refused(tmp_path, remote(server.url(host="other.example.org")))
    assert "certificate is not trusted" in error.message and "other.example.org" in error.message


def test_the_certificates_are_strictly_right():
    context = ssl.create_default_context(cafile=AUTHORITY)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        Server(whole(BODY)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.version() >= "TLSv1.2"


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.org/a", "//files.example.org/a", "files.example.org/a", "https:///a", "https://a b/c",
        "https://files.example.org/a b", "https://files.example.org/a\r\nCookie: b", "https://me@files.example.org/a",
        "https://files.example.org:port/a", "https://[::1/a", "https://a\\@b/c", "https://" + "a" * 70 + ".org/b",
        "https://a_b%2f/c", "",
    ],
)  # fmt: skip
def test_what_is_no_address(url):
    with pytest.raises(CorpusError):
        parse_url(url)


def test_an_address_taken_apart():
    assert parse_url("https://Bücher.example/ä?q=ü&r=1#top") == Place(
        "xn--bcher-kva.example", 443, "/%C3%A4?q=%C3%BC&r=1"
    )
    assert parse_url("https://files.example.org:8443").authority == "files.example.org:8443"
    assert parse_url("https://[2606:2800:220:1::1]/a%20b").authority == "[2606:2800:220:1::1]"


@given(st.text() | st.text().map(lambda text: f"https://{text}") | st.text().map(lambda text: f"https://a.org/{text}"))
def test_whatever_is_parsed_is_safe_to_send(url):
    try:
        place = parse_url(url)
    except CorpusError:
        return
    sent = place.target + place.authority
    assert sent.isascii() and sent.isprintable() and " " not in sent
    assert place.target.startswith("/")


# Proxies


def test_a_proxy_of_the_environment_is_used(tmp_path, monkeypatch):
    with (
        Server(whole(BODY)) as server,
        Server(lambda request: [b"HTTP/1.1 200 OK\r\n\r\n"], encrypted=False) as proxy,
    ):
        monkeypatch.setenv("https_proxy", f"http://me:my%20word@127.0.0.1:{proxy.port}")
        assert fetch(remote(server.url()), tmp_path, policy=loopback_policy()).read_bytes() == BODY
        [asked] = proxy.requests
        assert (asked.method, asked.target) == ("CONNECT", f"127.0.0.1:{server.port}")
        assert asked.headers["proxy-authorization"] == "Basic bWU6bXkgd29yZA=="
        assert "proxy-authorization" not in server.requests[0].headers
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        (tmp_path / "corpus.zip").unlink()
        fetch(remote(server.url()), tmp_path, policy=loopback_policy())
        assert len(proxy.requests) == 1


def test_a_proxy_leads_to_no_private_address_either(tmp_path, monkeypatch):
    with Server(lambda request: [head(403)], encrypted=False) as proxy:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
        assert "no public address" in refused(tmp_path, remote("https://10.0.0.1/corpus.zip")).message
        assert proxy.requests == []
        error = refused(tmp_path, remote("https://127.0.0.1/corpus.zip"))
        assert "the proxy 127.0.0.1 answers 403" in error.message


# The disk


def test_a_full_disk_is_said_before_the_download(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))
    with Server(whole(BODY)) as server:
        assert "the disk has 5 free" in refused(tmp_path, remote(server.url())).message
        assert server.requests == []


def test_a_disk_that_fills_up_is_no_fault_of_the_connection(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Server(whole(BODY)) as server:
        monkeypatch.setattr(os, "fsync", full)
        assert "no space left" in refused(tmp_path, remote(server.url())).message


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    error = refused(tmp_path / "elsewhere" / ".." / "file" / "below", remote("https://files.example.org/corpus.zip"))
    assert "cannot write" in error.message


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "cannot write" in refused(tmp_path, remote("https://files.example.org/corpus.zip")).message
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["../up.zip", "a/b.zip", "", ".hidden", "a\0b"])
def test_a_name_that_leaves_the_folder(tmp_path, name):
    with pytest.raises(CorpusError, match="no name for a file"):
        fetch(RemoteFile(name, ("https://files.example.org/a",), SHA), tmp_path)
    assert names(tmp_path) == []


# The table

CORPORA = known_corpora()


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=lambda corpus: corpus.name)
def test_the_table_is_right(corpus):
    for text in (corpus.description, corpus.licence, corpus.citation, corpus.use):
        assert text.strip() == text != ""
    assert corpus.page.startswith("https://")
    assert corpus.kind == ("translate" if len(corpus.languages) == 2 else corpus.kind)
    assert len({file.name for file in corpus.files}) == len(corpus.files)
    for file in corpus.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.size is None or 0 < file.size < Policy().largest
        assert file.urls and file.hosts is not None
        for url in file.urls:
            parse_url(url)
    if corpus.files:
        described = tomllib.loads(describe(corpus))
        assert (described["name"], described["licence"]) == (corpus.name, corpus.licence)
    else:
        assert "yourself" in corpus.use or "--sha256" in corpus.use


def test_no_hash_stands_twice_and_every_one_has_a_source():
    hashes = [file.sha256 for corpus in CORPORA.values() for file in corpus.files]
    assert len(hashes) == len(set(hashes)) > 20
    lines = files("s2sbot.downloads").joinpath("known_corpora.toml").read_text("utf-8").splitlines()
    for corpus in CORPORA.values():
        if corpus.files:
            assert lines[lines.index(f"[{corpus.name}]") - 1].startswith("# "), f"{corpus.name} names no source"


@pytest.mark.parametrize("name", ["multi30k-en-de", "iwslt15-en-vi"])
def test_a_folder_of_pairs_is_a_corpus(tmp_path, name):
    corpus = CORPORA[name]
    for file in corpus.files:
        (tmp_path / file.name).write_text("A line.\n")
    (tmp_path / "corpus.toml").write_text(describe(corpus), "utf-8")
    opened = open_corpus(tmp_path)
    assert (opened.languages, opened.reader, opened.licence) == (corpus.languages, "moses", corpus.licence)
    assert [document.name for document in opened.documents({})] == ["train"]


def test_an_archive_of_pairs_leaves_its_files_to_be_found():
    described = tomllib.loads(describe(CORPORA["books-de-en"]))
    assert described["languages"] == ["de", "en"]
    assert not {"files", "reader"} & described.keys()
    assert tomllib.loads(describe(CORPORA["cornell"]))["files"] == ["cornell_movie_dialogs_corpus.zip"]
