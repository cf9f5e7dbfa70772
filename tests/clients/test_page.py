"""What the page says of these clients is run as it stands there, against a real server."""

import asyncio
import re

import pytest
import tritonclient.http as triton
from tests.conftest import ROOT

PAGE = ROOT / "docs/how-to/call-by-triton-or-kserve.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def blocks():
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def run(block, server, names):
    assert "localhost:8000" in block or "client" in names
    exec(compile(block.replace("localhost:8000", server.url.removeprefix("http://")), PAGE.name, "exec"), names)


def test_the_page_says_how_tritons_client_asks(api, closed, blocks, capsys):
    names = {"__name__": "page"}
    run(blocks[0], api, names)
    assert capsys.readouterr().out.splitlines()[:3] == [
        "True",
        "['Gentoo', 'Adelie']",
        "['Adelie', 'Chinstrap', 'Gentoo']",
    ]
    assert names["reply"].get_response()["id"] == "42"
    # The key opens a server of another model: it is told so, and is let in.
    server, names["key"] = closed
    names["client"] = triton.InferenceServerClient(server.url.removeprefix("http://"))
    with pytest.raises(triton.InferenceServerException, match="only 'houses'"):
        run(blocks[1], server, names)


def test_the_page_says_how_kserves_client_asks(api, blocks, capsys):
    assert len(blocks) == 3
    run(blocks[2], api, {"__name__": "page", "asyncio": asyncio})
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["True", "label ['Gentoo']"]
    assert lines[2].startswith("probabilities [")
