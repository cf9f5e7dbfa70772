"""Apps from an app.json: the Deploy to Heroku button (app-setups), and review apps of a pipeline.

Read of app.json: env (with generator and required), addons, buildpacks, formation, scripts.postdeploy,
environments.review.
"""

import asyncio
import json
import secrets
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from tests.heroku.api import Function, start_build
from tests.heroku.api import route as _route
from tests.heroku.api_more import couple, find_pipeline
from tests.heroku.builder import fetch_source
from tests.heroku.buildpack import BuildFailed
from tests.heroku.errors import ApiError, not_found
from tests.heroku.platform import Platform
from tests.heroku.state import OWNER, App, new_id
from tests.heroku.streams import now

from aweigh.targets.heroku.dynos import DYNOS, SIZES_OF_FIR

ROUTES: dict[tuple[str, str], tuple[Function, int]] = {}
MANIFEST_SCHEMA = Path(__file__).parents[1] / "unit" / "targets" / "app.json.schema.json"
POLL_S = 0.05
POSTDEPLOY_S = 600


def route(line: str, status: int = 200) -> Any:
    """Enter a function for a method and a path, here."""
    return _route(line, status, ROUTES)


class SetupFailed(Exception):
    """Why an app could not be set up; ``errors`` are those of its app.json."""

    def __init__(self, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors


@cache
def _manifest_schema() -> jsonschema.Draft7Validator:
    """The published schema of app.json; what it does not know yet is added: sizes, and env as plain texts."""
    schema = json.loads(MANIFEST_SCHEMA.read_bytes())
    definitions = schema["definitions"]
    definitions["dynoSize"]["enum"] = sorted({*definitions["dynoSize"]["enum"], *DYNOS, *SIZES_OF_FIR})
    (name,) = definitions["env"]["patternProperties"]
    definitions["env"]["patternProperties"][name] = {
        "anyOf": [{"type": "string"}, definitions["env"]["patternProperties"][name]]
    }
    return jsonschema.Draft7Validator(schema)


async def _read_manifest(platform: Platform, source: dict) -> dict:
    try:
        tarball = await fetch_source(platform, source)
        with tarfile.open(tarball, "r:gz") as archive:
            names = {name.removeprefix("./"): name for name in archive.getnames()}
            if "app.json" not in names:
                raise SetupFailed("app.json not found", ("No app.json located in the source provided",))
            file = archive.extractfile(names["app.json"])
            found = json.loads(file.read() if file else b"")
    except (BuildFailed, tarfile.TarError, OSError) as error:
        raise SetupFailed("could not read the source", (str(error),)) from error
    except ValueError as error:
        raise SetupFailed("invalid app.json", (f"app.json is not valid JSON: {error}",)) from error
    wrong = [error.message for error in _manifest_schema().iter_errors(found)]
    if wrong:
        raise SetupFailed("invalid app.json", tuple(wrong))
    return found


def _read_env(manifest: dict, given: dict[str, str]) -> dict[str, str]:
    env: dict[str, str] = {}
    for name, spec in (manifest.get("env") or {}).items():
        if isinstance(spec, str):
            env[name] = spec
        elif spec.get("generator") == "secret":
            env[name] = secrets.token_hex(32)
        elif spec.get("value") is not None:
            env[name] = str(spec["value"])
        elif spec.get("required", True) and name not in given:
            raise SetupFailed("invalid app.json", (f"Environment variable {name} is required",))
    return env | {name: str(value) for name, value in given.items()}


async def _set_up(platform: Platform, app: App, setup: dict, body: dict, manifest: dict) -> None:
    overrides = body.get("overrides") or {}
    env = _read_env(manifest, overrides.get("env") or {})
    if env:
        platform.change_config(app, dict(env))
    packs = overrides.get("buildpacks") or manifest.get("buildpacks") or []
    app.buildpacks = [pack["url"] for pack in packs]
    for wanted in manifest.get("addons") or ():
        plan, alias = (wanted, None) if isinstance(wanted, str) else (wanted["plan"], wanted.get("as"))
        addon = platform.create_addon(app, plan, None, alias)
        await _until(lambda addon=addon: addon.state != "provisioning")
    build = start_build(platform, app, {"source_blob": body["source_blob"]})
    setup["build"] = {"id": build.id, "status": "pending", "output_stream_url": f"{platform.base}/_streams/{build.id}"}
    await _until(lambda: build.status != "pending")
    setup["build"]["status"] = build.status
    await _until(lambda: build.release is None or build.release.status != "pending")
    if build.release is None or build.release.status != "succeeded":
        raise SetupFailed("build failed")
    updates = [{"type": type_, **one} for type_, one in (manifest.get("formation") or {}).items()]
    platform.scale(app, updates)
    script = (manifest.get("scripts") or {}).get("postdeploy")
    if script:
        setup["postdeploy"] = await _postdeploy(platform, app, script if isinstance(script, str) else script["command"])
        if setup["postdeploy"]["exit_code"]:
            raise SetupFailed("postdeploy exited with non-zero status code")


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (what is waited for has no event)
        await asyncio.sleep(POLL_S)


async def _postdeploy(platform: Platform, app: App, command: str) -> dict:
    output: list[str] = []
    dyno = platform.run_once(app, command, size=None, env={}, type_="postdeploy")
    dyno.output = output.append
    code = await asyncio.wait_for(asyncio.shield(dyno.task), POSTDEPLOY_S) if dyno.task is not None else 1
    return {"output": "".join(output), "exit_code": code}


def _begin(platform: Platform, app: App, body: dict, environment: str | None = None) -> dict:
    setup = {
        "id": new_id(),
        "app": {"id": app.id, "name": app.name},
        "build": None,
        "created_at": now(),
        "updated_at": now(),
        "failure_message": None,
        "manifest_errors": [],
        "postdeploy": None,
        "resolved_success_url": app.web_url,
        "status": "pending",
    }
    platform.setups[setup["id"]] = setup

    async def work() -> None:
        try:
            manifest = await _read_manifest(platform, body["source_blob"])
            special = (manifest.get("environments") or {}).get(environment or "", {})
            await _set_up(platform, app, setup, body, {**manifest, **special})
            setup["status"] = "succeeded"
        except SetupFailed as failed:
            setup.update(status="failed", failure_message=str(failed), manifest_errors=list(failed.errors))
        except ApiError as error:
            setup.update(status="failed", failure_message=str(error))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            setup.update(status="failed", failure_message="invalid app.json", manifest_errors=[str(error)])
        setup["updated_at"] = now()

    platform.spawn(work())
    return setup


@route("POST /app-setups", 202)
async def create_setup(platform: Platform, body: dict) -> dict:
    wanted = body.get("app") or {}
    app = await platform.create_app(wanted.get("name"), wanted.get("stack"))
    return _begin(platform, app, body)


@route("GET /app-setups/{setup}")
def show_setup(platform: Platform, setup: str) -> dict:
    if setup not in platform.setups:
        raise not_found("app setup", "app_setup")
    return platform.setups[setup]


@route("POST /pipelines/{pipeline}/review-app-config", 201)
def enable_reviews(platform: Platform, pipeline: str, body: dict) -> dict:
    found = find_pipeline(platform, pipeline)
    if found["id"] in platform.review_configs:
        raise ApiError(409, "conflict", "Review apps are enabled for this pipeline already")
    config = {
        "pipeline_id": found["id"],
        "repo": {"id": int(found["id"][:6], 16)},
        "automatic_review_apps": False,
        "destroy_stale_apps": False,
        "stale_days": 5,
        "wait_for_ci": False,
        "base_name": None,
        "deploy_target": None,
        **{key: value for key, value in body.items() if key != "repo"},
    }
    platform.review_configs[found["id"]] = config
    return config


@route("GET /pipelines/{pipeline}/review-app-config")
def show_review_config(platform: Platform, pipeline: str) -> dict:
    config = platform.review_configs.get(find_pipeline(platform, pipeline)["id"])
    if config is None:
        raise not_found("review app config", "review_app_config")
    return config


@route("PATCH /pipelines/{pipeline}/review-app-config")
def update_review_config(platform: Platform, pipeline: str, body: dict) -> dict:
    config = show_review_config(platform, pipeline)
    config.update(body)
    return config


@route("DELETE /pipelines/{pipeline}/review-app-config")
def disable_reviews(platform: Platform, pipeline: str) -> dict:
    config = show_review_config(platform, pipeline)
    del platform.review_configs[config["pipeline_id"]]
    return config


@route("POST /review-apps", 201)
async def create_review_app(platform: Platform, body: dict) -> dict:
    pipeline = find_pipeline(platform, body["pipeline"])
    show_review_config(platform, pipeline["id"])
    if any(one["branch"] == body["branch"] for one in list_review_apps(platform, pipeline["id"])):
        raise ApiError(409, "conflict", f"A review app already exists for the {body['branch']} branch")
    app = await platform.create_app(f"{pipeline['name'][:20]}-pr-{secrets.token_hex(3)}")
    couple(platform, app, pipeline, "review")
    given = {"source_blob": body["source_blob"], "overrides": {"env": body.get("environment") or {}}}
    setup = _begin(platform, app, given, "review")
    review = {
        "id": new_id(),
        "app": {"id": app.id},
        "app_setup": {"id": setup["id"]},
        "branch": body["branch"],
        "created_at": now(),
        "updated_at": now(),
        "creator": {"id": OWNER["id"]},
        "error_status": None,
        "fork_repo": None,
        "message": None,
        "pipeline": {"id": pipeline["id"]},
        "pr_number": body.get("pr_number"),
        "status": "creating",
        "wait_for_ci": False,
    }
    platform.reviews[review["id"]] = review
    return review


def _current(platform: Platform, review: dict) -> dict:
    setup = platform.setups[review["app_setup"]["id"]]
    if review["status"] == "creating" and setup["status"] != "pending":
        fine = setup["status"] == "succeeded"
        review.update(status="created" if fine else "errored", message=setup["failure_message"], updated_at=now())
        review["error_status"] = None if fine else "app_setup"
    return review


@route("GET /review-apps/{review}")
def show_review_app(platform: Platform, review: str) -> dict:
    if review not in platform.reviews:
        raise not_found("review app", "review_app")
    return _current(platform, platform.reviews[review])


@route("GET /apps/{key}/review-app")
def show_app_review(platform: Platform, key: str) -> dict:
    app = platform.find_app(key)
    found = next((one for one in platform.reviews.values() if one["app"]["id"] == app.id), None)
    if found is None:
        raise not_found("review app", "review_app")
    return _current(platform, found)


@route("GET /pipelines/{pipeline}/review-apps")
def list_review_apps(platform: Platform, pipeline: str) -> list[dict]:
    found = find_pipeline(platform, pipeline)
    return [_current(platform, one) for one in platform.reviews.values() if one["pipeline"]["id"] == found["id"]]


@route("DELETE /review-apps/{review}")
async def delete_review_app(platform: Platform, review: str) -> dict:
    found = show_review_app(platform, review)
    app = platform.apps.get(found["app"]["id"])
    if app is not None:
        await platform.destroy(app)
    del platform.reviews[review]
    return {**found, "status": "deleting"}
