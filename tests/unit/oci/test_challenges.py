"""What servers ask of who is not signed in (RFC 9110, section 11)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.oci.challenges import Challenge, parse_challenges

TOKEN = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b"', [("basic", {"realm": "a, b"})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        (
            'Negotiate abc==, Basic realm="x" , charset=UTF-8,, Bearer realm = "y\\"z"',
            [("negotiate", {}), ("basic", {"realm": "x", "charset": "UTF-8"}), ("bearer", {"realm": 'y"z'})],
        ),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("BEARER Realm=x, REALM=y", [("bearer", {"realm": "x"})]),
        ("", []),
        (" , ,", []),
        ('Basic realm="never closed', [("basic", {})]),
        ('realm="x"', []),
        ('"x"', []),
        ("Basic realm=x; Bearer realm=y", [("basic", {})]),
        ("Basic\x00", []),
    ],
)
def test_a_header_is_read(header, found):
    assert parse_challenges([header]) == [Challenge(scheme, parameters) for scheme, parameters in found]


def test_several_headers_are_one_list():
    assert [one.scheme for one in parse_challenges(["Basic realm=x", "Bearer realm=y"])] == ["basic", "bearer"]


@given(st.text(max_size=200) | st.text(alphabet='Basic ="\\,;x\t', max_size=60))
def test_any_text_is_read_without_an_error(text):
    for one in parse_challenges([text]):
        assert one.scheme == one.scheme.lower()


@given(st.lists(st.tuples(TOKEN, st.dictionaries(TOKEN.map(str.lower), VALUE, min_size=1, max_size=4)), max_size=4))
def test_what_is_written_by_the_rules_is_read_as_it_was_meant(challenges):
    def quoted(value):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse_challenges([header]) == [Challenge(scheme.lower(), parameters) for scheme, parameters in challenges]


@pytest.mark.parametrize(
    "header", ['Basic a="' + "\\" * 400_000, "Basic " + "a=b," * 200_000, "," * 10**6, "a " * 10**6]
)
def test_a_huge_header_takes_no_time(header):
    before = time.process_time()
    parse_challenges([header])
    assert time.process_time() - before < 2.0
