"""The OpenAPI 3.1 document of ``/v1``, made of the bundle: each column a property, golden rows as examples."""

from collections.abc import Mapping
from typing import Any

from aweigh.runtime.predictor import Predictor
from aweigh.schema import Column, Output, Schema
from aweigh.schema.answers import class_key
from aweigh.schema.cells import FLOAT32_MAX, INT64_MAX, INT64_MIN, RESERVED_TEXT
from aweigh.server.jobs.described import job_paths, job_schema
from aweigh.server.media import ARROW_FILE, ARROW_STREAM, CSV, JSON
from aweigh.server.problems import PROBLEMS
from aweigh.server.settings import Settings
from aweigh.table import write_csv

FLOAT64_MAX = 1.7976931348623157e308
ULID_PATTERN = "^[0-9A-HJKMNP-TV-Z]{26}$"
MOMENT_PATTERN = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$"
)
"""A point in time in ISO 8601. JSON Schema's ``date-time`` would ask for a zone, which a column has none of."""

Document = dict[str, Any]


def column_schema(column: Column) -> Document:
    """The JSON Schema of one cell. What the model has merely seen is told in words; what is refused is a keyword."""
    kind: Document
    if column.type == "number":
        most = FLOAT32_MAX if column.dtype == "float32" else FLOAT64_MAX
        kind = {
            "type": "number",
            "minimum": _limit(column.lower_limit, -most),
            "maximum": _limit(column.upper_limit, most),
        }
    elif column.type == "integer":
        least, most = _limit(column.lower_limit, INT64_MIN), _limit(column.upper_limit, INT64_MAX)
        kind = {"type": "integer", "format": "int64", "minimum": least, "maximum": most}
    elif column.type == "boolean":
        kind = {"type": "boolean"}
    elif column.type == "date":
        kind = {"type": "string", "format": "date"}
    elif column.type == "datetime":
        kind = {"type": "string", "pattern": MOMENT_PATTERN}
    elif column.closed and column.categories is not None:
        kind = {"type": "string", "enum": list(column.categories)}
    else:
        kind = {"type": "string", "pattern": "^[^\\u0000]*$", "not": {"const": RESERVED_TEXT}}
    if column.nullable:
        kind["type"] = [kind["type"], "null"]
        if "enum" in kind:
            kind["enum"] = [*kind["enum"], None]
    about = about_column(column)
    if about:
        kind["description"] = about
    if column.typical is not None:
        kind["examples"] = [column.typical]
    return kind


def _limit(said: float | str | None, otherwise: float) -> float:
    return otherwise if said is None or isinstance(said, str) else said


def about_column(column: Column) -> str:
    """What the owner says of the column and what the model has seen, in a sentence or two."""
    parts = []
    said = column.description or column.title
    if said:
        parts.append(said.rstrip(".") + (f", in {column.unit}." if column.unit else "."))
    elif column.unit:
        parts.append(f"In {column.unit}.")
    seen = seen_words(column)
    if seen:
        parts.append(f"In training: {seen}.")
    return " ".join(parts)


def seen_words(column: Column) -> str:
    """What the model has seen in the column, in words; empty when the schema does not say."""
    if column.minimum is not None and column.maximum is not None:
        return f"{_plain(column.minimum)} to {_plain(column.maximum)}"
    if column.categories:
        some = ", ".join(column.categories[:12])
        return some + (f" and {len(column.categories) - 12} more" if len(column.categories) > 12 else "")
    return ""


def _plain(value: float | str) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def prediction_schema(output: Output) -> Document:
    """The JSON Schema of one prediction."""
    number: Document = {"type": ["number", "null"]}
    if output.task == "class":
        fields: Document = {"label": {"enum": list(output.classes)}}
        if output.probabilities:
            share = {"type": ["number", "null"], "minimum": 0, "maximum": 1.0000001}
            fields["probabilities"] = _object({class_key(one): share for one in output.classes})
    elif output.task == "cluster":
        fields = {"cluster": {"type": "integer"}}
    elif output.task == "outlier":
        fields = {"outlier": {"type": "boolean"}} | ({"score": number} if output.scores else {})
    elif output.task == "number":
        fields = {"value": number | ({"description": f"In {output.unit}."} if output.unit else {})}
    else:
        fields = {"values": _object(dict.fromkeys(output.names, number))}
    return _object(fields)


def _object(properties: Mapping[str, Any], *, required: list[str] | None = None) -> Document:
    named = list(properties) if required is None else required
    document: Document = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return document | ({"required": named} if named else {})


def _schemas(schema: Schema, *, max_rows: int) -> Document:
    row = _object(
        {column.name: column_schema(column) for column in schema.columns},
        required=[column.name for column in schema.columns if not column.nullable],
    )
    warning = _object(
        {
            "row": {"type": "integer", "minimum": 0},
            "column": {"type": "string"},
            "code": {"type": "string"},
            "message": {"type": "string"},
        },
        required=["code"],
    )
    reply = _object(
        {
            "id": {"type": "string", "pattern": ULID_PATTERN},
            "model": _object({"name": {"type": "string"}, "version": {"type": "string", "pattern": "^[0-9a-f]{12}$"}}),
            "predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}},
            "warnings": {"type": "array", "items": warning},
        }
    )
    return {
        "Row": row,
        "Rows": _object(
            {"rows": {"type": "array", "maxItems": max_rows, "items": {"$ref": "#/components/schemas/Row"}}}
        ),
        "Prediction": prediction_schema(schema.output),
        "Reply": reply,
        "Problem": _problem_schema(),
    }


def _problem_schema() -> Document:
    listed = _object(
        {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "row": {"type": "integer", "minimum": 0, "description": "Counted from 0; absent: the whole column."},
            "column": {"type": "string"},
        },
        required=["code", "message"],
    )
    return _object(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "code": {"enum": list(PROBLEMS)},
            "hint": {"type": "string"},
            "id": {"type": "string", "pattern": ULID_PATTERN, "description": "Under which the server's log has more."},
            "problems": {"type": "array", "items": listed},
            "total": {"type": "integer", "description": "How many problems there are; 'problems' lists the first."},
        },
        required=["type", "title", "status", "detail", "code"],
    )


def example_rows(predictor: Predictor, *, count: int) -> list[dict[str, Any]]:
    """The first golden rows, their columns in the schema's order."""
    names = predictor.schema.names
    return [{name: row[name] for name in names if name in row} for row in predictor.examples.rows[:count]]


def example_reply(predictor: Predictor, *, count: int, in_full: bool = True) -> Document:
    """What ``/v1/predict`` answers for the first golden rows; not ``in_full``: without their answers."""
    return {
        "id": "01JD0000000000000000000000",
        "model": {"name": predictor.manifest.name, "version": predictor.version},
        "predictions": predictor.examples.predictions[:count] if in_full else [],
        "warnings": [],
    }


def example_csv(predictor: Predictor, *, count: int) -> str:
    """The first golden rows as a CSV."""
    names = predictor.schema.names
    rows = [[row.get(name) for name in names] for row in predictor.examples.rows[:count]]
    return write_csv(names, [[_word(cell) for cell in row] for row in rows])


def _word(cell: object) -> object:
    return {True: "true", False: "false"}.get(cell, cell) if isinstance(cell, bool) else cell


def _problem(about: str) -> Document:
    return {
        "description": about,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _answers(*refusals: tuple[int, str], ok: Document) -> Document:
    return {"200": ok} | {str(status): _problem(about) for status, about in refusals}


def _get(summary: str, operation: str, ok: Document, *refusals: tuple[int, str]) -> Document:
    return {"get": {"summary": summary, "operationId": operation, "responses": _answers(*refusals, ok=ok)}}


def _json(about: str, schema: Document, **more: Any) -> Document:
    return {"description": about, "content": {JSON: {"schema": schema} | more}}


def _predict_path(predictor: Predictor, *, in_full: bool) -> Document:
    ref = {"$ref": "#/components/schemas/Rows"}
    rows = example_rows(predictor, count=1)
    table = {"type": "string", "contentMediaType": CSV, "examples": [example_csv(predictor, count=1)]}
    ok = _json("One prediction a row, in order.", {"$ref": "#/components/schemas/Reply"})
    ok["content"][JSON]["example"] = example_reply(predictor, count=1, in_full=in_full)
    ok["content"][CSV] = {"schema": {"type": "string"}}
    ok["content"][ARROW_STREAM] = {}
    timing = {"description": "Where the time went, in milliseconds.", "schema": {"type": "string"}}
    ok["headers"] = {"Server-Timing": timing}
    operation = {
        "summary": f"Predict {predictor.schema.output.name}",
        "operationId": "predict",
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": ref, "example": {"rows": rows}},
                CSV: {"schema": table},
                ARROW_STREAM: {},
                ARROW_FILE: {},
            },
        },
        "responses": _answers(
            (400, "The body is not what its content type says."),
            (406, "None of the content types asked for can be written."),
            (408, "The body did not arrive in time."),
            (413, "More bytes or rows than one request may hold."),
            (415, "A content type that is not read here."),
            (422, "Cells, columns or rows that the model does not take, each of them listed."),
            (503, "The model is not ready, or more waits for it than it answers in time: see Retry-After."),
            ok=ok,
        ),
    }
    return {"post": operation}


def openapi_document(predictor: Predictor | None, *, settings: Settings, version: str) -> Document:
    """The whole document."""
    text: Document = {"type": "string"}
    free: Document = {"type": "object"}
    not_ready = (503, "Not yet, or not any more.")
    paths: Document = {
        "/v1/openapi.json": _get("This document", "openapi", _json("OpenAPI 3.1.", free)),
        "/health/live": _get("Whether the process turns", "live", _json("It does.", free)),
        "/health/ready": _get("Whether callers are welcome", "ready", _json("They are.", free), not_ready),
    }
    info: Document = {"title": "aweigh", "version": version}
    schemas: Document = {"Problem": _problem_schema()}
    if predictor is not None:
        name = predictor.manifest.name
        info = {"title": name, "version": predictor.version, "description": about_model(predictor)}
        schemas = _schemas(predictor.schema, max_rows=settings.rows_for(predictor.schema))
        paths = {
            "/v1/predict": _predict_path(predictor, in_full=not settings.disclosure),
            "/v1/schema": _get("What goes in and what comes out", "schema", _json("The schema.", free)),
            "/v1/model": _get("What is served, and how it was proven", "model", _json("The model.", free)),
        } | paths
        if settings.jobs != "off":
            schemas["Job"] = job_schema()
            paths |= job_paths()
    paths["/v1/docs"] = _get(
        "These addresses for people", "docs", {"description": "A page.", "content": {"text/html": {"schema": text}}}
    )
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": info,
        "paths": paths,
        "components": {"schemas": schemas},
    }


def about_model(predictor: Predictor) -> str:
    """One sentence of what is predicted from what: the owner's own, or one made of the schema."""
    said = predictor.manifest.presentation.description
    if said:
        return said
    schema = predictor.schema
    many = len(schema.columns)
    inputs = f"{many} column{'s' if many != 1 else ''}"
    named = schema.output.name
    return {
        "class": f"Predicts which {named} a row is, of {len(schema.output.classes)}, from {inputs}.",
        "number": f"Predicts {named} from {inputs}.",
        "numbers": f"Predicts {', '.join(schema.output.names[:6])} from {inputs}.",
        "cluster": f"Says which cluster a row belongs to, from {inputs}.",
        "outlier": f"Says whether a row is an outlier, from {inputs}.",
        "transform": f"Transforms {inputs} into {len(schema.output.names)}.",
    }[schema.output.task]
