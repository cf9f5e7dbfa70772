"""The pages that the server writes itself: ``/v1/docs``, and ``/`` where there is no UI. No asset of another host.

Each is one document with its stylesheet and script inside, named by their hashes in its content security policy.
"""

import base64
import hashlib
import html
import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

from aweigh._version import __version__
from aweigh.runtime.predictor import Predictor
from aweigh.schema import Column
from aweigh.server.media import ARROW_FILE, ARROW_STREAM, CSV, JSON
from aweigh.server.openapi import about_column, about_model, example_csv, example_reply, example_rows
from aweigh.server.problems import PROBLEMS
from aweigh.server.settings import Settings

UNKNOWN_ORIGIN = "http://localhost:8000"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its HTML for the address under which it was asked for, and its content security policy."""

    html: Callable[[str], str]
    policy: str


def _asset(name: str) -> str:
    return resources.files("aweigh.server").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _page(title: str, body: Callable[[str], str]) -> Page:
    css, script = _asset("page.css"), _asset("page.js")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(css)}",
            f"script-src {_hash(script)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )

    def render(origin: str) -> str:
        safe = origin if _ORIGIN.fullmatch(origin) else UNKNOWN_ORIGIN
        return (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{_text(title)}</title>\n<link rel="icon" href="data:,">\n<style>{css}</style>\n'
            f"<main>\n{body(safe)}\n</main>\n<script>{script}</script>\n</html>\n"
        )

    return Page(render, policy)


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _code(value: str, *, origin: str = "") -> str:
    """A block of code; with an ``origin``, the page puts the address that the browser knows in its place."""
    named = f' data-origin="{_text(origin)}"' if origin else ""
    return f'<pre tabindex="0"{named}>{_text(value)}</pre>'


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{_text(one)}</th>' for one in heads)
    return (
        f'<div class="scroll"><table class="stack"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def pretty(value: object) -> str:
    """JSON as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


# -- /v1/docs --------------------------------------------------------------------------------------------------------


def docs_page(predictor: Predictor | None, *, settings: Settings) -> Page:
    """The page that says how to call the API, filled with the model's own columns and golden rows."""
    if predictor is None:
        return _page("aweigh API", lambda _: _no_model())
    return _page(f"{predictor.manifest.name} API", lambda origin: _docs(predictor, settings=settings, origin=origin))


def _no_model() -> str:
    return (
        "<header><h1>aweigh</h1><p>No model is served here, only an app. "
        'What there is: <a href="openapi.json">OpenAPI</a>.</p></header>' + _problems() + _footer("")
    )


def _docs(predictor: Predictor, *, settings: Settings, origin: str) -> str:
    name = predictor.manifest.name
    title = predictor.manifest.presentation.title or name
    links = [("#predict", "Predict"), ("#try", "Try it"), ("#columns", "Columns"), ("#formats", "Formats")]
    links += [("#jobs", "Jobs")] if settings.jobs != "off" else []
    links += [("#others", "More addresses"), ("#problems", "Problems"), ("openapi.json", "OpenAPI")]
    nav = "".join(f'<a href="{href}">{_text(word)}</a>' for href, word in links)
    return "\n".join(
        [
            f"<header><h1>{_text(title)} API</h1><p>{_text(about_model(predictor))}</p></header>",
            f'<nav aria-label="On this page">{nav}</nav>',
            _predict(predictor, origin=origin, in_full=not settings.disclosure),
            _try(predictor),
            _columns(predictor),
            _formats(predictor, settings=settings, origin=origin),
            _jobs(settings=settings, origin=origin) if settings.jobs != "off" else "",
            _others(predictor),
            _problems(),
            _footer(f"{name} {predictor.version}"),
        ]
    )


def _predict(predictor: Predictor, *, origin: str, in_full: bool) -> str:
    rows = example_rows(predictor, count=1)
    curl = f"curl {origin}/v1/predict -H 'Content-Type: {JSON}' \\\n  -d {shlex.quote(pretty({'rows': rows}))}"
    python = (
        "import json, urllib.request\n\n"
        f"rows = {_python(rows)}\n"
        f'request = urllib.request.Request(\n    "{origin}/v1/predict",\n'
        '    data=json.dumps({"rows": rows}).encode(),\n'
        f'    headers={{"Content-Type": "{JSON}"}},\n)\n'
        "with urllib.request.urlopen(request) as reply:\n"
        '    print(json.load(reply)["predictions"])'
    )
    return "\n".join(
        [
            '<section id="predict"><h2><span class="method">POST</span> /v1/predict</h2>',
            "<p>One prediction for each row, in their order. A row gets the same answer alone or among others.</p>",
            "<h3>curl</h3>",
            _code(curl, origin=origin),
            "<h3>Python</h3>",
            _code(python, origin=origin),
            "<h3>The answer</h3>",
            _code(pretty(example_reply(predictor, count=1, in_full=in_full))),
            "<p><code>warnings</code> lists cells beyond what the model has seen; the row is answered too.</p>",
            "</section>",
        ]
    )


def _python(rows: list[dict[str, object]]) -> str:
    lines = [",\n".join(f"        {key!r}: {value!r}" for key, value in row.items()) for row in rows]
    return "[\n" + ",\n".join(f"    {{\n{one},\n    }}" for one in lines) + ",\n]"


def _try(predictor: Predictor) -> str:
    rows = pretty({"rows": example_rows(predictor, count=1)})
    lines = min(24, rows.count("\n") + 2)
    return (
        '<section id="try"><h2>Try it</h2><form><label for="body">Rows</label>'
        f'<textarea id="body" rows="{lines}" spellcheck="false" autocapitalize="off" autocomplete="off">'
        f"\n{_text(rows)}</textarea>"
        '<div class="act"><button type="submit">Send</button><span data-told role="status"></span></div>'
        '<label for="answer">Answer</label><output id="answer" for="body" tabindex="0"></output></form></section>'
    )


_WORDS = {"category": "text", "datetime": "point in time", "boolean": "true or false", "integer": "whole number"}


def _columns(predictor: Predictor) -> str:
    rows = [_column_row(column) for column in predictor.schema.columns]
    return (
        '<section id="columns"><h2>Columns</h2><p><code>null</code>, an absent column that may be missing, an '
        "empty CSV cell and an Arrow null are one and the same missing value.</p>"
        + _table(["Column", "Type", "May be missing", "About"], rows)
        + "</section>"
    )


def _column_row(column: Column) -> str:
    missing = "may be missing" if column.nullable else "required"
    kind = _WORDS.get(column.type, column.type)
    return (
        f'<tr><td class="name"><code>{_text(column.name)}</code></td><td>{_text(kind)}</td><td>{missing}</td>'
        f"<td>{_text(about_column(column))}</td></tr>"
    )


def _formats(predictor: Predictor, *, settings: Settings, origin: str) -> str:
    limit = settings.max_body_bytes / 2**20
    table = example_csv(predictor, count=3)
    about = (
        f"<p>A body is <code>{JSON}</code>, <code>{CSV}</code> or Arrow IPC (<code>{ARROW_STREAM}</code>, "
        f"<code>{ARROW_FILE}</code>), as <code>Content-Type</code> says; of at most {limit:g} MiB and "
        f"{settings.rows_for(predictor.schema):,} rows. The answer is JSON, or CSV or an Arrow stream where "
        "<code>Accept</code> asks for it.</p>"
    )
    return "\n".join(
        [
            '<section id="formats"><h2>Formats</h2>',
            about,
            "<h3>CSV in, CSV out</h3>",
            _code(
                f"curl {origin}/v1/predict -H 'Content-Type: {CSV}' -H 'Accept: {CSV}' \\\n  --data-binary @rows.csv",
                origin=origin,
            ),
            "<p>with <code>rows.csv</code>:</p>",
            _code(table),
            "</section>",
        ]
    )


def _jobs(*, settings: Settings, origin: str) -> str:
    limit, hours = settings.jobs_max_bytes / 2**20, settings.jobs_ttl_s / 3600
    rows = [
        ("GET", "/v1/jobs/ID", "how far it is: rows done, of how many; in the end what came of it, and links"),
        ("GET", "/v1/jobs/ID/result", "the file with an answer for each row, in order; ranges are served"),
        ("GET", "/v1/jobs/ID/bad", "a JSON line for each row without an answer, with what is wrong"),
        ("DELETE", "/v1/jobs/ID", "cancels a job, or removes one that is finished"),
    ]
    about = (
        "<p>For files that are too large for one request: the body is the file (CSV, JSON lines, Parquet, Arrow, "
        f"also packed with gzip) of at most {limit:,g} MiB. The answer, 202, says where the job is. Whoever knows "
        f"its id may see it; it is kept for {hours:,g} hours after its end.</p>"
    )
    return "\n".join(
        [
            '<section id="jobs"><h2><span class="method">POST</span> /v1/jobs</h2>',
            about,
            _code(f"curl {origin}/v1/jobs -H 'Content-Type: {CSV}' -T rows.csv -X POST", origin=origin),
            _table(["Address", "About"], [_address(*one) for one in rows]),
            "</section>",
        ]
    )


def _address(method: str, path: str, about: str) -> str:
    return f'<tr><td class="name"><code>{method} {_text(path)}</code></td><td>{about}</td></tr>'


def _others(predictor: Predictor) -> str:
    name = predictor.manifest.name
    rows = [
        ("GET", "/v1/schema", "what goes in and what comes out"),
        ("GET", "/v1/model", "what is served, its golden rows, and how it was proven"),
        ("GET", "/v1/openapi.json", "this API as OpenAPI 3.1"),
        ("POST", f"/v2/models/{name}/infer", "the Open Inference Protocol, for KServe, Triton and MLServer clients"),
        ("GET", "/health/live", "whether the process turns"),
        ("GET", "/health/ready", "whether the golden rows agree and callers are welcome"),
        ("GET", "/metrics", "counters for Prometheus; from this machine, or with a token"),
    ]
    made = [_address(*one) for one in rows]
    return '<section id="others"><h2>More addresses</h2>' + _table(["Address", "About"], made) + "</section>"


def _problems() -> str:
    rows = [
        f'<tr id="{code}"><td class="figure">{status}</td><td class="name"><code>{code}</code></td>'
        f"<td>{_text(title)}</td></tr>"
        for code, (status, title) in PROBLEMS.items()
    ]
    return (
        '<section id="problems"><h2>Problems</h2><p>What is refused is told as <code>application/problem+json</code> '
        "(RFC 9457): <code>code</code> is for programs, <code>detail</code> and <code>hint</code> for people, and "
        "<code>problems</code> lists every bad cell by row and column.</p>"
        + _table(["Status", "Code", "Title"], rows)
        + "</section>"
    )


def _footer(what: str) -> str:
    named = f"{_text(what)}, served by " if what else "Served by "
    return f"<footer>{named}aweigh {_text(__version__)}</footer>"


# -- / without a UI --------------------------------------------------------------------------------------------------


def front_page(predictor: Predictor | None) -> Page:
    """What ``/`` shows where there is no UI: what is served and where its API is described."""
    if predictor is None:
        title, about = "aweigh", "No model is served here."
    else:
        title = predictor.manifest.presentation.title or predictor.manifest.name
        about = about_model(predictor)
    links = '<nav aria-label="Addresses"><a href="v1/docs">API</a><a href="v1/openapi.json">OpenAPI</a></nav>'
    version = "" if predictor is None else f"{predictor.manifest.name} {predictor.version}"

    def body(_: str) -> str:
        return (
            f"<header><h1>{_text(title)}</h1><p>{_text(about)}</p></header>{links}"
            "<p>This server answers programs. It was started without the app for people.</p>" + _footer(version)
        )

    return _page(title, body)
