"""Heroku's published hyper-schema, held against what is asked of the server and against what it answers.

The file is Heroku's own, unchanged. What is wrong in it is put right here, when it is read: ``formation.dyno_size``
points at a definition that does not exist; a release of a container image is said to need a slug.
"""

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

FILE = Path(__file__).with_name("platform-api-v3.schema.json")
BASE = "urn:heroku"
NO_LINK = "the schema has no such link"
# Routes that the official command line and Heroku's own pages use, and that the published schema leaves out.
UNPUBLISHED = re.compile(r"(GET|POST|PATCH|DELETE) (/filters/apps|/apps/[^/]+/domains/.*|/apps/[^/]+/logs)$")


def _close(schema: object) -> None:
    """Refuse properties that the schema does not name: Heroku ignores a misspelt one, and its sender never knows."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and "patternProperties" not in schema:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            _close(part)
    elif isinstance(schema, list):
        for part in schema:
            _close(part)


def _read() -> dict:
    document = json.loads(FILE.read_bytes())
    document.pop("id")
    document["$schema"] = "http://json-schema.org/draft-04/schema#"
    definitions = document["definitions"]
    definitions["dyno_size"] = definitions["dyno-size"]
    # Here an app has a port of its own, not a name below herokuapp.com.
    del definitions["app"]["definitions"]["web_url"]["pattern"]
    for link in definitions["release"]["links"]:
        if link["title"] == "Create":
            del link["schema"]["required"]
            link["schema"]["anyOf"] = [{"required": ["slug"]}, {"required": ["oci_image"]}]
    return document


def _pattern(href: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]*\}", unquote(href) if "{" not in href else re.sub(r"\{\([^)]*\)\}", "{}", href))
    return re.compile("[^/]+".join(re.escape(part) for part in parts) + r"\Z")


class PlatformSchema:
    """All links of the schema."""

    def __init__(self) -> None:
        answers = _read()
        requests = _read()
        for definition in requests["definitions"].values():
            for link in definition.get("links", ()):
                _close(link.get("schema"))
            _close(definition.get("definitions"))
        registry = Registry().with_resources(
            [
                (f"{BASE}:requests", Resource(requests, DRAFT4)),
                (f"{BASE}:answers", Resource(answers, DRAFT4)),
            ]
        )
        self._registry = registry
        self._links: list[tuple[str, re.Pattern[str], str, int, dict]] = [
            (link["method"].upper(), _pattern(link["href"]), name, number, link)
            for name, definition in answers["definitions"].items()
            for number, link in enumerate(definition.get("links", ()))
        ]
        self._validator = cache(self._new_validator)

    def _new_validator(self, reference: str) -> jsonschema.Draft4Validator:
        return jsonschema.Draft4Validator(
            {"$ref": reference}, registry=self._registry, format_checker=jsonschema.FormatChecker(["uuid"])
        )

    def links(self, method: str, path: str) -> list[tuple[str, int, dict]]:
        """Return the links that a request goes to: the name of the definition, the link's number in it, the link.

        A path is taken by the links that name most of it: ``/teams/apps`` is not a team of that name.
        """
        found = [(name, n, link) for verb, to, name, n, link in self._links if verb == method and to.match(path)]
        literal = [link["href"].count("{") for _, _, link in found]
        return [entry for entry, count in zip(found, literal, strict=True) if count == min(literal)]

    def check_request(self, method: str, path: str, body: object) -> str | None:
        """Say what is wrong with a request, in one sentence; None: nothing.

        Where several links have one address (Create and Rollback of a release) it is enough that one takes it.
        """
        links = self.links(method, path)
        if not links:
            return None if UNPUBLISHED.match(f"{method} {path}") else NO_LINK
        wrong = [self._against(name, number, link, body) for name, number, link in links]
        return None if None in wrong else wrong[-1] if len(wrong) == 1 else "; or ".join(str(one) for one in wrong)

    def _against(self, name: str, number: int, link: dict, body: object) -> str | None:
        if "schema" not in link:
            return None if body in (None, {}) else f"{link['title']}: takes no body"
        body = {} if body is None else body
        validator = self._validator(f"{BASE}:requests#/definitions/{name}/links/{number}/schema")
        error = jsonschema.exceptions.best_match(validator.iter_errors(body))
        if error is None:
            return None
        where = "/".join(str(part) for part in error.absolute_path)
        return f"{link['title']}: {where or 'body'}: {error.message}"

    def check_answer(self, method: str, path: str, answer: object) -> str | None:
        """Say what is wrong with an answer of this server, in one sentence; None: nothing."""
        wrong: list[str] = []
        for name, number, link in self.links(method, path):
            if "targetSchema" in link:
                reference = f"{BASE}:answers#/definitions/{name}/links/{number}/targetSchema"
            elif link.get("rel") == "empty":
                return None
            else:
                reference = f"{BASE}:answers#/definitions/{name}"
            many = link.get("rel") == "instances" and "targetSchema" not in link
            validator = self._validator(reference)
            items = answer if many and isinstance(answer, list) else [answer]
            errors = [error for item in items for error in validator.iter_errors(item)]
            if not errors:
                return None
            error = errors[0]
            wrong.append(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message}")
        return "; or ".join(wrong) or None


@cache
def published() -> PlatformSchema:
    """Return the schema, read once."""
    return PlatformSchema()
