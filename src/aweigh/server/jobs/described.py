"""``/v1/jobs`` as the OpenAPI document tells of it."""

from typing import Any

from aweigh.jobs.job import ID_LENGTH, STATES
from aweigh.server.jobs.asked import JSON_LINES, OUTPUTS, PARQUET
from aweigh.server.media import ARROW_FILE, ARROW_STREAM, CSV, JSON
from aweigh.server.problems import PROBLEMS

Document = dict[str, Any]

_MOMENT: Document = {"type": "string", "format": "date-time"}
_COUNT: Document = {"type": "integer", "minimum": 0}
_TEXT: Document = {"type": "string"}


def job_schema() -> Document:
    """The JSON Schema of a job's document."""
    model = {"type": "object", "properties": {"name": _TEXT, "version": _TEXT}, "required": ["name", "version"]}
    progress = {
        "rows": _COUNT,
        "total": _COUNT,
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "bad": _COUNT | {"description": "Of these rows so many have no answer."},
    }
    rows = {
        "answered": _COUNT,
        "bad": _COUNT,
        "problems": {"type": "object", "additionalProperties": _COUNT, "description": "How many, by their code."},
    }
    links = {one: {"type": "string", "format": "uri-reference"} for one in ("self", "result", "bad")}
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": f"^[0-9a-f]{{{ID_LENGTH}}}$"},
            "state": {"enum": list(STATES)},
            "model": model,
            "output": {"enum": list(OUTPUTS)},
            "progress": {"type": "object", "properties": progress, "required": ["rows"]},
            "created": _MOMENT,
            "started": _MOMENT,
            "finished": _MOMENT,
            "expires": _MOMENT,
            "attempts": _COUNT,
            "rows": {"type": "object", "properties": rows, "required": ["answered", "bad"]},
            "seconds": {"type": "number", "minimum": 0},
            "links": {"type": "object", "properties": links, "required": ["self"]},
            "error": {"$ref": "#/components/schemas/Problem"},
        },
        "required": ["id", "state", "model", "output", "progress", "created", "attempts", "links"],
        "additionalProperties": False,
    }


def job_paths() -> Document:
    """The addresses of jobs."""
    named = {"name": "id", "in": "path", "required": True, "schema": job_schema()["properties"]["id"]}
    none = _refusals(404, 503)
    job = _job("The job.")
    return {
        "/v1/jobs": {"post": _post()},
        "/v1/jobs/{id}": {
            "get": {
                "summary": "How far a job is",
                "operationId": "job",
                "parameters": [named],
                "responses": {"200": job} | none,
            },
            "delete": {
                "parameters": [named],
                "summary": "Cancel a job that is not finished, remove one that is",
                "operationId": "endJob",
                "responses": {"200": _job("It is cancelled."), "204": {"description": "It is removed."}} | none,
            },
        },
        "/v1/jobs/{id}/result": _file(named, "jobResult", "The answers, a row for each row that came, in order"),
        "/v1/jobs/{id}/bad": _file(named, "jobBad", "A line for each row without an answer, and why"),
    }


def _post() -> Document:
    files = [CSV, JSON_LINES, JSON, PARQUET, ARROW_STREAM, ARROW_FILE, "application/gzip", "application/octet-stream"]
    flag = {"type": "boolean"}
    about = {
        "output": ({"enum": list(OUTPUTS)}, "The kind of file to write; the file's own kind if it is left out."),
        "keep": ({"type": "array", "items": _TEXT}, "Input columns to carry along, instead of all."),
        "answers_only": (flag, "Carry no input column along."),
        "ignore_extra": (flag, "Let columns pass that the model does not have."),
        "delimiter": (
            {"type": "string", "minLength": 1, "maxLength": 3},
            "A CSV's delimiter, one character or 'tab'; found out if it is left out.",
        ),
    }
    parameters = [
        {"name": name, "in": "query", "schema": schema, "description": said} for name, (schema, said) in about.items()
    ]
    key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    said = "The same key with the same file gives the same job."
    parameters.append({"name": "Idempotency-Key", "in": "header", "schema": key, "description": said})
    accepted = _job("The file is there, and the job waits.")
    accepted["headers"] = {"Location": {"description": "Where the job is.", "schema": _TEXT}}
    return {
        "summary": "Predict for every row of a file, in the background",
        "operationId": "postJob",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {one: {} for one in files}},
        "responses": {"202": accepted} | _refusals(400, 408, 413, 415, 422, 503, 507),
    }


def _file(named: Document, operation: str, summary: str) -> Document:
    content: Document = {one: {} for one in (CSV, JSON_LINES, PARQUET, ARROW_FILE)}
    responses = {
        "200": {"description": "The file.", "content": content},
        "206": {"description": "The range that was asked for.", "content": content},
    }
    return {
        "get": {
            "parameters": [named],
            "summary": summary,
            "operationId": operation,
            "responses": responses | _refusals(404, 409, 410, 416, 503),
        },
    }


def _job(about: str) -> Document:
    return {"description": about, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Job"}}}}


def _refusals(*statuses: int) -> Document:
    """Refusals by their status, each in the words of the codes that have it."""
    return {
        str(status): {
            "description": "; ".join(title for one, title in PROBLEMS.values() if one == status) + ".",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
