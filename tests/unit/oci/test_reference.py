"""Names of images: what people type, and what is refused."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aweigh.errors import UsageError
from aweigh.oci.reference import (
    HUB,
    Reference,
    check_digest,
    check_host,
    check_repository,
    check_tag,
    is_loopback,
    parse_reference,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("typed", "host", "repository", "tag", "digest"),
    [
        ("python", HUB, "library/python", "latest", ""),
        ("python:3.12-slim", HUB, "library/python", "3.12-slim", ""),
        ("docker.io/python", HUB, "library/python", "latest", ""),
        ("index.docker.io/library/python", HUB, "library/python", "latest", ""),
        ("registry-1.docker.io/anna/app:1", HUB, "anna/app", "1", ""),
        ("anna/app", HUB, "anna/app", "latest", ""),
        ("ghcr.io/x/y", "ghcr.io", "x/y", "latest", ""),
        ("GHCR.io/x/y", "ghcr.io", "x/y", "latest", ""),
        ("ghcr.io/x", "ghcr.io", "x", "latest", ""),
        (f"127.0.0.1:5000/team/app:1.2@{DIGEST}", "127.0.0.1:5000", "team/app", "1.2", DIGEST),
        (f"ghcr.io/x/y@{DIGEST}", "ghcr.io", "x/y", "", DIGEST),
        ("localhost/app:A_b.c-1", "localhost", "app", "A_b.c-1", ""),
        ("localhost:5000/a.b_c__d---e/f", "localhost:5000", "a.b_c__d---e/f", "latest", ""),
        ("[::1]:5000/app", "[::1]:5000", "app", "latest", ""),
        ("app:" + "t" * 128, HUB, "library/app", "t" * 128, ""),
    ],
)
def test_what_people_type(typed, host, repository, tag, digest):
    found = parse_reference(typed)
    assert found == Reference(host, repository, tag, digest)
    assert parse_reference(str(found)) == found


def test_what_is_asked_for():
    assert parse_reference(f"x/y:1@{DIGEST}").wanted == DIGEST
    assert parse_reference("x/y:1").wanted == "1"
    assert Reference("ghcr.io", "x").wanted == "latest"
    assert parse_reference("x/y:1").at(DIGEST).wanted == DIGEST
    assert str(parse_reference("python:3.12")) == "docker.io/library/python:3.12"


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "empty"),
        ("a" * 2000, "1024 characters"),
        ("a" * 300, "no repository"),
        ("ghcr.io/" + "a" * 250, "255 characters"),
        ("https://ghcr.io/x/y", "is an address"),
        ("docker://ghcr.io/x/y", "is an address"),
        ("x/Y", "no repository"),
        ("Team/app", "no repository"),
        ("x/y:", "no tag"),
        ("x/y:.1", "no tag"),
        ("x/y:-rm", "no tag"),
        ("x/y:" + "t" * 129, "no tag"),
        ("x/y:1:2", "no tag"),
        ("x/y@", "no digest"),
        ("x/y@sha256:12", "no digest"),
        (f"x/y@{DIGEST.upper()}", "no digest"),
        ("x/y@sha512:" + "0" * 128, "no digest"),
        (f"x/y@{DIGEST}@{DIGEST}", "no digest"),
        ("ghcr.io/", "no repository"),
        ("ghcr.io//x", "no repository"),
        ("/x", "no repository"),
        ("ghcr.io/x/", "no repository"),
        ("ghcr.io/../x", "no repository"),
        ("ghcr.io/x/..", "no repository"),
        ("x/y\n", "no repository"),
        ("x/y:1\n", "no tag"),
        ("x/y:1\r\nHost: z", "no tag"),
        ("x/$(id)", "no repository"),
        ("x/`id`", "no repository"),
        ("x/y;id", "no repository"),
        ("x/y:1;id", "no tag"),
        ("x/'y'", "no repository"),
        ('x/y:"1"', "no tag"),
        ("x/y z", "no repository"),
        ("x/y?z=1", "no repository"),
        ("x/y#z", "no repository"),
        ("x/y%2f", "no repository"),
        ("x/\u0443", "no repository"),
        ("x/y:\u0661", "no tag"),
        ("x\0/y", "no repository"),
        ("-rm", "no repository"),
        ("ghcr.io:0/x", "no registry's host"),
        ("ghcr.io:70000/x", "no registry's host"),
        ("ghcr.io:/x", "no registry's host"),
        ("anna@ghcr.io/x", "no digest"),
        ("-x.io/y", "no registry's host"),
        ("a..io/y", "no registry's host"),
        ("[1.2.3.4]:5/y", "no registry's host"),
        ("[::1/y", "no registry's host|no tag"),
        ("gh$cr.io/y", "no registry's host"),
    ],
)
def test_what_is_no_name_is_refused_in_a_sentence(typed, why):
    with pytest.raises(UsageError, match=why) as caught:
        parse_reference(typed)
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@given(st.text(max_size=80) | st.text(alphabet=string.printable, max_size=40))
@example("a/b:c@d")
@example("a:b/c")
def test_any_text_is_a_name_that_can_be_written_again_or_is_refused(text):
    try:
        found = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(found)) == found
    written = str(found)
    assert not set(written) - set(string.ascii_letters + string.digits + "./:@_-[]")
    assert ".." not in written


PART = st.from_regex(r"[a-z0-9]{1,8}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)


@given(
    st.sampled_from(["ghcr.io", "127.0.0.1:5000", "localhost:1", "a-b.example:65535", "[::1]:5000"]),
    st.lists(PART, min_size=1, max_size=4),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True),
    st.booleans(),
)
def test_every_name_of_the_specification_is_taken_apart_and_put_together(host, parts, tag, pinned):
    digest = DIGEST if pinned else ""
    text = f"{host}/{'/'.join(parts)}:{tag}" + (f"@{digest}" if pinned else "")
    found = parse_reference(text)
    assert (found.host, found.repository, found.tag, found.digest) == (host, "/".join(parts), tag, digest)
    assert str(found) == text


@pytest.mark.parametrize("check", [check_host, check_repository, check_tag, check_digest])
@pytest.mark.parametrize("text", ["", "a\n", "\n", "a b", "$(x)", "..", "a/../b", "a\\b", "é"])
def test_each_part_is_checked_to_its_last_character(check, text):
    with pytest.raises(UsageError):
        check(text)


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("127.0.0.1:5000", True),
        ("127.8.8.8", True),
        ("[::1]:5000", True),
        ("ghcr.io", False),
        ("10.0.0.1:5000", False),
        ("0.0.0.0:5000", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("127.0.0.1@ghcr.io", False),
        ("", False),
    ],
)
def test_what_is_on_this_machine_by_its_name(host, near):
    assert is_loopback(host) is near
