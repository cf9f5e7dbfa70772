"""Content codings by what a client takes, and bodies that are kept."""

import asyncio
import gzip
import zlib

import pytest
from backports import zstd

from aweigh.wire.coding import coding_for, compress, decompress
from aweigh.wire.kept import Kept

BODY = b'{"columns":["bill_length_mm","bill_depth_mm"]}' * 200
SMALL = b"{}"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"", "identity"),
        (b"gzip", "gzip"),
        (b"GZIP", "gzip"),
        (b"x-gzip", "gzip"),
        (b"gzip, deflate, br, zstd", "zstd"),
        (b"gzip;q=1.0, zstd;q=0.5", "gzip"),
        (b"gzip;q=0, zstd;q=0", "identity"),
        (b"gzip;q=0", "identity"),
        (b"*", "gzip"),
        (b"*;q=0", "identity"),
        (b"gzip;q=0, *", "identity"),
        (b"br", "identity"),
        (b"identity, gzip;q=0.5", "identity"),
        (b"identity;q=0.5, gzip", "gzip"),
        (b"identity;q=0.5, *;q=0.2", "identity"),
        (b"gzip ; q=0.3 , zstd ; Q=0.4", "zstd"),
        (b"gzip;q=2, zstd;q=nan", "identity"),
        (b"gzip;level=9", "identity"),
        (b",, ;;,\xff", "identity"),
    ],
)
def test_a_client_gets_a_coding_that_it_takes(accepted, coding):
    assert coding_for(accepted) == coding


def test_small_bodies_are_compressed_only_for_who_refuses_them_plain():
    assert coding_for(b"gzip", worth=False) == "identity"
    assert coding_for(b"gzip, identity;q=0", worth=False) == "gzip"
    assert coding_for(b"*;q=0, gzip", worth=False) == "gzip"
    assert coding_for(b"identity;q=0", worth=False) == "identity"


@pytest.mark.parametrize("kept", [False, True])
def test_bodies_come_out_as_they_went_in(kept):
    assert gzip.decompress(compress(BODY, "gzip", kept=kept)) == BODY
    assert zstd.decompress(compress(BODY, "zstd", kept=kept)) == BODY
    assert compress(BODY, "identity", kept=kept) == BODY
    assert compress(BODY, "gzip", kept=kept) == compress(BODY, "gzip", kept=kept)


PACKED = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY)}


def test_only_codings_that_are_among_those_offered_are_taken():
    assert coding_for(b"gzip, deflate, zstd", among=("gzip",)) == "gzip"
    assert coding_for(b"zstd", among=("gzip",)) == "identity"


@pytest.mark.parametrize("packing", PACKED)
def test_what_comes_packed_is_unpacked_no_further_than_it_may_be(packing):
    assert decompress(PACKED[packing], packing, most_bytes=len(BODY)) == BODY
    assert decompress(PACKED[packing], packing, most_bytes=len(BODY) - 1) is None


@pytest.mark.parametrize("packing", PACKED)
def test_what_is_not_whole_or_not_packed_so_is_no_body(packing):
    for spoilt in (PACKED[packing][:-1], PACKED[packing] + b"0", b"", BODY):
        with pytest.raises(ValueError):
            decompress(spoilt, packing, most_bytes=2 * len(BODY))


def asked(kept, *, method="GET", **headers):
    """Status, headers and body of a request with these headers; a name's ``_`` stands for ``-``."""
    sent = []

    async def send(message):
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(kept.send({"type": "http", "method": method, "headers": given}, send))
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


def test_what_is_kept_is_compressed_and_revalidated():
    kept = Kept(BODY, media=b"application/json")
    status, plain, body = asked(kept)
    assert (status, body) == (200, BODY)
    assert plain["cache-control"] == "private, no-cache"
    assert plain["content-length"] == str(len(BODY))
    tags = {plain["etag"]}
    for coding, decode in (("gzip", gzip.decompress), ("zstd", zstd.decompress)):
        status, headers, body = asked(kept, accept_encoding=coding)
        assert (status, headers["content-encoding"], decode(body)) == (200, coding, BODY)
        assert headers["content-length"] == str(len(body))
        assert headers["vary"] == "accept-encoding"
        tags.add(headers["etag"])
        status, again, body = asked(kept, accept_encoding=coding, if_none_match=headers["etag"])
        assert (status, body, again["etag"]) == (304, b"", headers["etag"])
        assert again["cache-control"] == "private, no-cache"
        assert "content-length" not in again
        # A tag of another coding is another body's.
        assert asked(kept, if_none_match=headers["etag"])[0] == 200
    assert len(tags) == 3


def test_if_none_match_is_read_as_a_list_of_weak_or_strong_tags():
    kept = Kept(SMALL, media=b"application/json")
    tag = asked(kept)[1]["etag"]
    assert asked(kept, if_none_match="*")[0] == 304
    assert asked(kept, if_none_match=f'"other", W/{tag}')[0] == 304
    assert asked(kept, if_none_match='"other"')[0] == 200
    assert asked(kept, if_none_match=tag.strip('"'))[0] == 200


def test_a_head_tells_the_size_and_sends_nothing():
    kept = Kept(BODY, media=b"text/plain")
    status, headers, body = asked(kept, method="HEAD", accept_encoding="gzip")
    assert (status, body) == (200, b"")
    assert headers["content-length"] == asked(kept, accept_encoding="gzip")[1]["content-length"]


def test_what_is_compressed_already_is_left_alone():
    status, headers, body = asked(Kept(BODY, media=b"font/woff2", compressible=False), accept_encoding="gzip")
    assert (status, body) == (200, BODY)
    assert "content-encoding" not in headers
    assert "vary" not in headers
