"""HTTP/1.1 as bytes: requests ahead of their answers, in pieces, of the old version, and beside what is none."""

import gzip
import json
import re
import sys
import time

import pytest
from tests.data_sets import ROW

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALL = ROW | {"island": "Torgersen", "bill_length_mm": 39.1, "bill_depth_mm": 18.7, "body_mass_g": 3750}
SMALL["flipper_length_mm"] = 181


def ask(*rows, head="", version="1.1"):
    body = json.dumps({"rows": rows}).encode()
    lines = f"POST /v1/predict HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}"
    return f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


CLOSE = "Connection: close\r\n"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def statuses(answer):
    return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


def labels(answer):
    return re.findall(rb'"label":"(\w+)"', answer)


def test_two_requests_in_one_segment_are_answered_in_order(api):
    answer = api.raw(ask(ROW) + ask(SMALL, head=CLOSE))
    assert statuses(answer) == [200, 200]
    assert labels(answer) == [b"Gentoo", b"Adelie"]


def test_a_slow_one_ahead_keeps_its_place(api):
    """A table of many rows is answered in a thread, what comes after it at once: not before it, all the same."""
    answer = api.raw(ask(*[ROW] * 400) + GET + ask(SMALL, head=CLOSE))
    assert statuses(answer) == [200, 200, 200]
    assert labels(answer) == [b"Gentoo"] * 400 + [b"Adelie"]
    assert answer.index(b'"live"') > answer.rindex(b'"label":"Gentoo"')


@pytest.mark.parametrize("cuts", [(10,), (60, 90), (130, 160, 170)])
def test_a_request_in_pieces_is_one_request(api, cuts):
    sent = ask(ROW) + ask(SMALL, head=CLOSE)
    with api.connect() as sock:
        begin = 0
        for cut in (*cuts, len(sent)):
            sock.sendall(sent[begin:cut])
            begin = cut
            time.sleep(0.03)
        assert labels(api.read_all(sock)) == [b"Gentoo", b"Adelie"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_connection_ends_when_it_is_to_end(api, version):
    answer = api.raw(ask(ROW, head=CLOSE, version=version))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert json.loads(body)["predictions"][0]["label"] == "Gentoo"


def test_the_old_version_gets_one_answer_and_the_end(api):
    assert statuses(api.raw(ask(ROW, version="1.0"))) == [200]


def test_who_waits_to_be_told_to_go_on_is_told(api):
    head, _, body = ask(ROW, head="Expect: 100-continue\r\n" + CLOSE).partition(b"\r\n\r\n")
    with api.connect() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert labels(api.read_all(sock)) == [b"Gentoo"]


def test_head_takes_no_place_on_the_line(api):
    head = GET.replace(b"GET", b"HEAD")
    answer = api.raw(head + ask(ROW, head=CLOSE))
    assert statuses(answer) == [200, 200]
    assert answer.count(b'"live"') == 0


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (ask(ROW), b"no HTTP at all\r\n\r\n"),
        (ask(ROW) + GET, b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"),
        (ask(ROW), ask(SMALL).replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nX-L")),
        (ask(*[ROW] * 300), b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000),
    ],
)
def test_a_bad_one_does_not_take_the_answer_of_a_good_one(api, good, bad):
    """What is no request is refused after those that came before it have been answered, and then the line is closed."""
    answer = api.raw(good + bad)
    count = good.count(b"HTTP/1.1")
    found = statuses(answer)
    assert found[:count] == [200] * count
    assert found[count] in {400, 431}
    assert len(found) == count + 1
    assert set(labels(answer)) == {b"Gentoo"}


def read_one(sock):
    """One answer on a connection that stays open."""
    found = b""
    while True:
        head, end, body = found.partition(b"\r\n\r\n")
        if end and len(body) == int(re.search(rb"content-length: (\d+)", head)[1]):
            return found
        found += sock.recv(65536)


@pytest.mark.parametrize("accepts", ["", "Accept: */*\r\nAccept-Encoding: gzip, deflate, zstd\r\n"])
@pytest.mark.parametrize("count", [1, 40])
def test_the_quick_way_and_the_ordinary_one_give_the_same_answer(api, accepts, count):
    """A header that stands there twice sends a request the ordinary way: the bytes are the same but for the moments."""
    found = []
    with api.connect() as sock:
        for more in ("", "", "X-A: 1\r\nX-A: 2\r\n"):  # the second time its head is known
            sock.sendall(ask(*[ROW, SMALL | {"year": 1900}] * count, head=accepts + more))
            answer = read_one(sock)
            head, _, body = answer.partition(b"\r\n\r\n")
            if b"content-encoding: gzip" in head:
                body = gzip.decompress(body)
            if b"content-encoding: zstd" in head:
                body = zstd.decompress(body)
            head = re.sub(rb"(content-length|date): [^\r]*", b"", re.sub(rb"dur=[0-9.]*", b"", head))
            found.append((b"\r\n".join(sorted(head.split(b"\r\n"))), re.sub(rb'"id":"\w*"', b"", body)))
    assert found[0] == found[1] == found[2]
    assert found[0][1].count(b'"outside_reference_range"') == count


def test_it_is_the_same_through_the_processes_in_front_of_an_app(start_server, tmp_path):
    pytest.importorskip("streamlit")
    (tmp_path / "page.py").write_text("import streamlit as st\nst.text('here')\n")
    env = {"AWEIGH_DRAIN_DELAY_S": "0"}
    server = start_server(tmp_path / "page.py", "--ui-processes", 1, env=env)
    one = b"GET /_stcore/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = one.replace(b"Host", b"Connection: close\r\nHost")
    for _ in range(3):  # over connections that are kept behind
        answer = server.raw(one + one.replace(b"GET", b"HEAD") + GET + last)
        assert statuses(answer) == [200] * 4
        assert answer.count(b"\r\n\r\nok") == 2
    assert statuses(server.raw(one + b"no HTTP at all\r\n\r\n")) == [200, 400]
    assert statuses(server.raw(one.replace(b"1.1", b"1.0"))) == [200]
