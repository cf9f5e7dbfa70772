"""A row as a command and as a program that ask the API for the same answer, with nothing to be installed."""

import shlex

import msgspec

from aweigh.ui.row import Row

ORIGIN = "{origin}"
"""Stands for the address of this app in a snippet; the browser, which knows it, puts it in."""


def curl(row: Row, *, origin: str = ORIGIN) -> str:
    """One row asked with curl."""
    body = shlex.quote(msgspec.json.encode({"rows": [row]}).decode())
    return f"curl {origin}/v1/predict \\\n  -H 'Content-Type: application/json' \\\n  -d {body}\n"


def python(row: Row, *, origin: str = ORIGIN) -> str:
    """One row asked with Python's own library."""
    cells = "".join(f"    {name!r}: {cell!r},\n" for name, cell in row.items())
    return (
        "import json\n"
        "from urllib.request import Request, urlopen\n\n"
        f"url = '{origin}/v1/predict'\n"
        f"row = {{\n{cells}}}\n"
        "body = json.dumps({'rows': [row]}).encode()\n"
        "request = Request(url, body, {'Content-Type': 'application/json'})\n"
        "print(json.load(urlopen(request))['predictions'][0])\n"
    )
