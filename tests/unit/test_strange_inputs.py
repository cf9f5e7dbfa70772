"""Inputs of strangers that parsers once let through as errors of Python's own, or took too long for. See tests/fuzz."""

import asyncio
import io
import json
import lzma
import pickle
import struct
import sys
import time
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from aweigh.advisories.export import read_export
from aweigh.bundle.contents import check_content
from aweigh.bundle.requirements import Pinned, read_lock
from aweigh.config import read_config
from aweigh.errors import ConfigError, DamagedBundle, DataError, MalformedBody, SourceSilent, TooLarge
from aweigh.guard.oidc.failures import SignInFailed
from aweigh.guard.oidc.roles import read_roles
from aweigh.models.scan import scan_bytes
from aweigh.schema import Column, Output, Schema
from aweigh.schema.decode_arrow import compile_arrow
from aweigh.server import media
from aweigh.server.access.asked import Place, name_of, place_of
from aweigh.server.access.door import Door
from aweigh.server.problems import Refused
from aweigh.table.arrow_stream import PAIR, RECORD_BATCH, SCHEMA
from aweigh.table.arrow_write import _message
from aweigh.table.csv import read_csv
from aweigh.table.csv_parts import CsvParts
from aweigh.table.files import read_sample
from aweigh.table.flatbuffer_write import Node, Structs, byte, integer, long

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

import fuzz_oidc

DIGITS = "9" * 5000


@pytest.mark.parametrize("text", ["a = " + "[" * 3000, f"a = {DIGITS}", f"[model]\nname = {DIGITS}"])
def test_a_configuration_that_python_cannot_hold_is_an_error_of_the_configuration(tmp_path, text):
    path = tmp_path / "aweigh.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_config(path)


def test_a_host_with_a_port_of_thousands_of_digits_is_no_host_of_ours():
    assert name_of(f"localhost:{DIGITS}") == name_of(f"[::1]:{DIGITS}".replace("::1", "localhost")) == "localhost"
    scope = {"scheme": "http", "headers": [(b"host", f"a:{DIGITS}".encode()), (b"origin", b"http://a")]}
    assert not Place().is_same_site(scope)


@pytest.mark.parametrize(("said", "taken"), [(b"same-origin", True), (b"cross-site", False), (b"Same-Origin", False)])
def test_the_quick_way_in_takes_no_word_of_a_browser_that_the_ordinary_one_does_not(said, taken):
    headers = {b"host": b"localhost", b"sec-fetch-site": said}
    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "scheme": "http", "headers": [*headers.items()]}
    door = Door(Place())
    assert (door.at_once(headers) is not None) is taken
    with nullcontext() if taken else pytest.raises(Refused):
        asyncio.run(door.enter(scope))


def test_an_origin_that_is_no_address_is_an_error_of_the_configuration():
    with pytest.raises(ConfigError, match="AWEIGH_ORIGINS"):
        place_of(hosts=None, origins="https://[", proxies=0, loopback=False)


def test_a_content_type_of_many_empty_parameters_is_read_at_once():
    begun = time.process_time()
    assert media.parse("a/b" + ";" * 600_000 + " " * 40_000) == ("a/b", {})
    assert time.process_time() - begun < 2


ADVISORY = {"id": "A-1", "affected": [{"package": {"name": "a", "ecosystem": "PyPI"}, "versions": [DIGITS]}]}


@pytest.mark.parametrize("content", [b'{"id":"\xff"}', b'[{"id":"a","summary":"\xff"}]', b'{"vulns":[{"id":"\xff"}]}'])
def test_an_export_that_is_no_text_is_told_of(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(SourceSilent):
        read_export(path, [Pinned("a", "1", ())])


def test_a_version_of_thousands_of_digits_is_none(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ADVISORY))
    told = read_export(path, [Pinned("a", "1", ())])
    assert told.advisories == {("a", "1"): ()}


def test_a_line_of_a_lock_that_is_none_is_refused_at_once():
    """Each letter of it doubled the time, when a version could be cut into pieces in as many ways as there are."""
    begun = time.process_time()
    for line in (f"click=={'a' * 5000}!", f"click==1{'.a' * 2000} --hash=no", f"{'a-' * 2000}=1"):
        with pytest.raises(DamagedBundle, match="no exact version"):
            read_lock(f"{line}\n")
    assert time.process_time() - begun < 0.5
    assert read_lock(f"torch==2.13.0+cpu.1 --hash=sha256:{'0' * 64}\n")[0].version == "2.13.0+cpu.1"


# -- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("charset", ["utf-16", "utf-32"])
def test_text_that_may_be_of_either_byte_order_is_refused_at_once_and_in_parts(charset):
    body = "a,b\n1,2\n".encode(f"{charset}-le")
    with pytest.raises(MalformedBody, match="is not utf"):
        read_csv(body, charset=charset)
    with pytest.raises(MalformedBody, match="is not utf"):
        CsvParts(io.BytesIO(body), chunk_rows=9, charset=charset)
    assert read_csv("a,b\n1,2\n".encode(charset), charset=charset).rows == 1


def test_the_delimiter_is_that_of_the_first_line_also_where_lines_end_as_on_old_machines():
    """What stands below it, and how much of that is read at once, decides nothing."""
    body = b"\r\ra,b\r1,2;;;;\r"
    assert list(read_csv(body).columns) == ["a", "b"]
    parts = CsvParts(io.BytesIO(body), chunk_rows=9)
    assert (parts.names, parts.delimiter) == (["a", "b"], ",")


@pytest.mark.parametrize("ahead", [b"\n", b"\r\n\r\n", b"\n" * 2**18])
def test_blank_lines_before_a_header_are_no_end(ahead):
    """Also where the header stands in another block than they do."""
    assert list(read_csv(ahead + b"a,b").columns) == ["a", "b"]
    assert CsvParts(io.BytesIO(ahead + b"a,b"), chunk_rows=9).names == ["a", "b"]
    (part,) = CsvParts(io.BytesIO(ahead + b"a,b\n1,2\n"), chunk_rows=9)
    assert list(part.lines) == [ahead.count(b"\n") + 2]
    with pytest.raises(MalformedBody, match="is empty"):
        CsvParts(io.BytesIO(ahead), chunk_rows=9)


def test_a_whole_number_that_no_fraction_can_be_beside_is_told_of(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(f'[{{"a": 1.5}}, {{"a": 1{"0" * 400}}}]')
    with pytest.raises(DataError, match="do not fit 64 bits"):
        read_sample(path)


# -- Arrow -----------------------------------------------------------------------------------------------------------


def test_many_columns_of_one_buffer_are_counted_before_they_are_made():
    """A body of a few hundred kilobytes whose table would take 800 MB; the model has one column."""
    rows, columns = 100_000, 1000
    whole = Node([integer(8), byte(1)])
    fields = [Node([f"c{i}", byte(1), byte(2), whole, None, []]) for i in range(columns)]
    places = [place for _ in range(columns) for place in ((0, 0), (0, rows))]
    batch = Node([long(rows), Structs(PAIR, [(rows, 0)] * columns), Structs(PAIR, places)])
    parts = [_message(SCHEMA, Node([None, fields]), body_bytes=0), _message(RECORD_BATCH, batch, body_bytes=rows)]
    body = b"".join([*parts, bytes(rows)])
    schema = Schema(columns=(Column(name="c0", type="integer", dtype="int64"),), output=Output(task="number", name="y"))
    with pytest.raises(TooLarge, match="more cells"):
        compile_arrow(schema, max_rows=rows)(body)


# -- zip files -------------------------------------------------------------------------------------------------------


def zipped(*members, how=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def damaged(how):
    """A skops file whose one member unpacks to nothing that fits."""
    content = bytes(range(256)) * 8
    made = bytearray(zipped(("schema.json", content), how=how))
    at = 30 + len("schema.json")
    made[at + 14 : at + 60] = b"\xff" * 46
    return bytes(made)


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_does_not_unpack_is_damaged_whatever_it_is_packed_with(how, tmp_path):
    with pytest.raises((zipfile.BadZipFile, OSError, lzma.LZMAError, EOFError, Exception)):  # it is damaged, indeed
        zipfile.ZipFile(io.BytesIO(damaged(how))).read("schema.json")
    with pytest.raises(DamagedBundle):
        check_content("model/model.skops", damaged(how))
    assert "damaged" in scan_bytes(damaged(how)).unreadable


def test_a_zip_whose_directory_leads_beyond_all_files_is_damaged():
    """The zip64 extension can say places that no file has."""
    made = bytearray(zipped(("schema.json", b"{}"), ("a.bin", b"x")))
    central = made.rfind(b"PK\x01\x02")
    name = made[central + 46 : central + 51]
    assert name == b"a.bin"
    made[central + 42 : central + 46] = b"\xff" * 4  # the offset is in the extra field
    made[central + 30 : central + 32] = struct.pack("<H", 12)
    made[central + 51 : central + 51] = struct.pack("<HHQ", 1, 8, 2**64 - 2)
    end = made.rfind(b"PK\x05\x06")
    size = struct.unpack_from("<L", made, end + 12)[0]
    struct.pack_into("<L", made, end + 12, size + 12)
    assert scan_bytes(bytes(made)).unreadable
    with pytest.raises(DamagedBundle):
        check_content("model/model.skops", bytes(made))


def npy(described):
    head = f"{{'descr': {described}, 'fortran_order': False, 'shape': (1,)}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


@pytest.mark.parametrize("described", ["()", "[()]", "('f8',)", "[('a',)]", "[('a', ())]", "[1]"])
def test_an_array_whose_type_is_none_is_refused(described):
    made = zipped(("schema.json", b'{"protocol": 2}'), ("1.npy", npy(described)))
    assert "not in numpy's format" in scan_bytes(made).unreadable


def test_zips_within_zips_are_not_followed():
    """16 files of 16 files of 16 files...: a few kilobytes that nobody has the time to unpack."""
    inner = zipped(*((f"{i}.npy", npy("'<f8'")) for i in range(16)), how=zipfile.ZIP_DEFLATED)
    for _ in range(6):
        inner = zipped(*((f"{i}.npz", inner) for i in range(16)), how=zipfile.ZIP_DEFLATED)
    made = zipped(("schema.json", b'{"protocol": 2}'), ("1.npz", inner))
    begun = time.process_time()
    assert "holds another .npz" in scan_bytes(made).unreadable
    assert time.process_time() - begun < 2


# -- pickles ---------------------------------------------------------------------------------------------------------


def test_a_numpy_type_within_thousands_of_others_is_refused():
    """Only described, as joblib's arrays are read without making what they say."""
    dtype = b"cnumpy\ndtype\n(S'V8'\nI00\nI01\ntR"
    nested = b"cnumpy\ndtype\n(S'f8'\nI00\nI01\ntR"
    for _ in range(2000):
        nested = dtype + b"(I3\nS'|'\n(" + nested + b"(I1\nttNNI8\nI1\nI0\ntb"
    wrapper = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81"
    made = b"\x80\x02" + wrapper + b"}(S'dtype'\n" + nested + b"S'shape'\n(I1\ntub."
    assert "nested too deeply" in scan_bytes(made).unreadable
    assert scan_bytes(pickle.dumps(np.dtype("f8"), 2)).unreadable is None


# -- providers -------------------------------------------------------------------------------------------------------


def told(kind, content):
    fuzz_oidc.providers()(bytes([kind]) + content)


@pytest.mark.parametrize("key", [{"kty": []}, {"kty": {}}, {"kty": None}, {"kty": "RSA", "n": [], "use": []}])
def test_a_key_of_no_kind_is_passed_over(key):
    good = json.loads(fuzz_oidc.KEYS)["keys"]
    documents = {"described": fuzz_oidc.DESCRIBED, "keys": json.dumps({"keys": [key, *good]}).encode()}
    web = fuzz_oidc.Canned(loopback=False, documents=documents)
    found = asyncio.run(fuzz_oidc.Provider(fuzz_oidc.ISSUER, web).keys_for("EdDSA", None))
    assert len(found) == 1


CLAIMS = {"iss": fuzz_oidc.ISSUER, "sub": "1", "aud": "aweigh", "iat": fuzz_oidc.NOW, "nonce": "nonce", "exp": 2e9}


def claimed(header=b'{"alg":"EdDSA"}', **more):
    documents = {"described": fuzz_oidc.DESCRIBED, "keys": fuzz_oidc.KEYS}
    provider = fuzz_oidc.Provider(fuzz_oidc.ISSUER, fuzz_oidc.Canned(loopback=False, documents=documents))
    token = fuzz_oidc.signed(header, json.dumps(CLAIMS | more).encode())
    return asyncio.run(fuzz_oidc.claims_of(token, provider, fuzz_oidc.EXPECTED, now=fuzz_oidc.NOW))


def test_a_time_that_is_larger_than_any_number_is_none():
    assert claimed()["sub"] == "1"
    with pytest.raises(SignInFailed, match="no time exp"):
        claimed(exp=10**400)


def test_a_header_that_is_nested_too_deep_is_refused_and_no_depth_is_a_failure():
    """Two readers of it have their ends at two depths."""
    refused = []
    for depth in [*range(700, 1010, 3), 5000]:
        try:
            claimed(b'{"alg":"EdDSA","x":' + b"[" * depth + b"]" * depth + b"}")
        except SignInFailed:
            refused.append(depth)
    assert refused
    assert refused == [depth for depth in [*range(700, 1010, 3), 5000] if depth >= refused[0]]


def test_a_claim_of_thousands_of_digits_gives_no_role():
    roles = read_roles("level: 7=viewer; *=none")
    assert roles.role_of({"level": 7}) is not None
    assert roles.role_of({"level": 10**5000}) is None
