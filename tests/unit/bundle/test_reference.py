"""docs/reference/bundle.md says all that a bundle may hold."""

import re

import msgspec
import pytest

from aweigh.bundle import archive, contents, names
from aweigh.bundle.examples import Examples
from aweigh.bundle.files import MAX_DOCUMENT_BYTES
from aweigh.bundle.findings import Membership, Robustness
from aweigh.bundle.manifest import (
    FORMAT,
    Alternative,
    Attempt,
    FileEntry,
    Graph,
    GraphInput,
    Manifest,
    Pickled,
    Presentation,
    Proof,
)
from aweigh.bundle.verify import MAX_MANIFEST_BYTES
from aweigh.schema.combination import Binned, Combinations, Pair
from aweigh.schema.policy import Policy


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs/reference/bundle.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "kind",
    [
        *[Manifest, Proof, Attempt, Graph, GraphInput, Presentation, Alternative, FileEntry, Pickled, Examples],
        *[Policy, Combinations, Binned, Pair, Robustness, Membership],
    ],
)
def test_every_key_is_named(page, kind):
    missing = [one.encode_name for one in msgspec.structs.fields(kind) if f"`{one.encode_name}`" not in page]
    assert missing == []


def test_every_key_of_the_manifest_has_its_row(page):
    section = page.split("## manifest.json")[1].split("`proof` says")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
        one.encode_name for one in msgspec.structs.fields(Manifest)
    ]


def test_every_file_is_named_and_said_to_be_required_or_not(page):
    for name in names.REQUIRED | {names.MANIFEST}:
        assert f"| `{name}` | required |" in page
    for name in names.OPTIONAL:
        assert f"| `{name}` | optional |" in page


def test_every_runtime_has_its_row(page):
    for runtime, suffixes in contents.SUFFIXES.items():
        assert re.search(
            rf"^\| `{runtime}` \| {' or '.join(f'`{one}`' for one in sorted(suffixes))} \|", page, re.MULTILINE
        )


def test_the_numbers_are_those_of_the_code(page):
    assert f"the number of this format: {FORMAT} " in page
    assert f"more than {names.MAX_FILES:,} files, more than {round(archive.MAX_BUNDLE_BYTES / 2**30)} GiB" in page
    assert f"a document of more than {MAX_DOCUMENT_BYTES // 2**20} MiB" in page
    assert f"at most {MAX_MANIFEST_BYTES // 2**20} MiB" in page
