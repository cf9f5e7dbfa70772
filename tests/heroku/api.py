"""What a deployment asks for: apps, sources, builds, slugs, releases, config, formation, dynos, logs, features."""

import secrets
from collections.abc import Callable
from typing import Any

from tests.heroku.builder import run_build
from tests.heroku.errors import ApiError, invalid, not_found
from tests.heroku.platform import FEATURES, Platform
from tests.heroku.state import STACKS, App, Build, Slug, Source, dyno_size, fixed_id, new_id
from tests.heroku.streams import Wanted, now

from aweigh.targets.heroku.dynos import DYNOS
from aweigh.targets.heroku.requests import AFFINITY

Function = Callable[..., Any]
Routes = dict[tuple[str, str], tuple[Function, int]]
ROUTES: Routes = {}


def route(line: str, status: int = 200, routes: Routes = ROUTES) -> Callable[[Function], Function]:
    """Enter a function for a method and a path."""
    method, path = line.split()

    def enter(function: Function) -> Function:
        routes[method, path] = (function, status)
        return function

    return enter


# -- apps


def _stack(wanted: str | None) -> str | None:
    if wanted is None:
        return None
    name = next((one for one in STACKS if wanted in (one, fixed_id(one))), None)
    if name is None:
        raise invalid(f"Stack {wanted} does not exist or is not available")
    return name


@route("POST /apps", 201)
async def create_app(platform: Platform, body: dict) -> dict:
    app = await platform.create_app(body.get("name"), _stack(body.get("stack")))
    for feature in body.get("feature_flags", ()):
        app.features[feature] = True
    return app.document()


@route("POST /teams/apps", 201)
async def create_team_app(platform: Platform, body: dict) -> dict:
    app = await platform.create_app(body.get("name"), _stack(body.get("stack")), space=body.get("space"))
    return app.document()


@route("GET /apps")
def list_apps(platform: Platform) -> list[dict]:
    return [app.document() for app in platform.apps.values()]


@route("GET /users/{user}/apps")
def list_own_apps(platform: Platform) -> list[dict]:
    return list_apps(platform)


@route("POST /filters/apps")
def filter_apps(platform: Platform, body: dict) -> list[dict]:
    wanted = body.get("in", {})
    keys = {*wanted.get("id", ()), *wanted.get("name", ())}
    return [app.document() for app in platform.apps.values() if keys & {app.id, app.name}]


@route("GET /apps/{key}")
def show_app(platform: Platform, key: str) -> dict:
    return platform.find_app(key).document()


@route("GET /teams/apps/{key}")
def show_team_app(platform: Platform, key: str) -> dict:
    return platform.find_app(key).document()


@route("PATCH /apps/{key}")
def update_app(platform: Platform, key: str, body: dict) -> dict:
    app = platform.find_app(key)
    name = body.get("name", app.name)
    if any(other.name == name for other in platform.apps.values() if other is not app):
        raise invalid(f"Name {name} is already taken")
    app.name = name
    app.stack = _stack(body.get("build_stack")) or app.stack
    app.maintenance = bool(body.get("maintenance", app.maintenance))
    app.updated_at = now()
    return app.document()


@route("DELETE /apps/{key}")
async def delete_app(platform: Platform, key: str) -> dict:
    app = platform.find_app(key)
    document = app.document()
    await platform.destroy(app)
    return document


# -- from source to release


@route("POST /sources", 201)
def create_source(platform: Platform) -> dict:
    folder = platform.folder / "sources"
    folder.mkdir(exist_ok=True)
    source = Source(new_id(), secrets.token_hex(16), folder / new_id())
    platform.sources[source.id] = source
    address = f"{platform.base}/_sources/{source.id}"
    # What is signed differs between reading and writing, as on the real storage.
    return {
        "source_blob": {
            "get_url": f"{address}?Signature=get-{source.key}",
            "put_url": f"{address}?Signature=put-{source.key}",
        }
    }


@route("POST /apps/{key}/sources", 201)
def create_app_source(platform: Platform, key: str) -> dict:
    platform.find_app(key)
    return create_source(platform)


@route("POST /apps/{key}/builds", 201)
async def create_build(platform: Platform, key: str, body: dict) -> dict:
    return start_build(platform, platform.find_app(key), body).document(platform.find_app(key), platform.base)


def start_build(platform: Platform, app: App, body: dict) -> Build:
    """Begin a build; one at a time for an app."""
    if any(build.status == "pending" for build in app.builds):
        raise ApiError(409, "conflict", "Your app has a build in progress already. Please wait for it to finish.")
    if "url" not in body["source_blob"]:
        raise invalid("source_blob.url is required")
    packs = body.get("buildpacks") or [{"url": url} for url in app.buildpacks] or [{"name": "heroku/python"}]
    build = Build(new_id(), dict(body["source_blob"]), app.stack, packs)
    app.builds.append(build)
    platform.streams[build.id] = build.output
    build.task = platform.spawn(run_build(platform, app, build))
    return build


@route("GET /apps/{key}/builds")
def list_builds(platform: Platform, key: str) -> list[dict]:
    app = platform.find_app(key)
    return [build.document(app, platform.base) for build in app.builds]


def _build(app: App, build: str) -> Build:
    found = next((one for one in app.builds if one.id == build), None)
    if found is None:
        raise not_found("build", "build")
    return found


@route("GET /apps/{key}/builds/{build}")
def show_build(platform: Platform, key: str, build: str) -> dict:
    app = platform.find_app(key)
    return _build(app, build).document(app, platform.base)


@route("DELETE /apps/{key}/builds/{build}")
def cancel_build(platform: Platform, key: str, build: str) -> dict:
    app = platform.find_app(key)
    found = _build(app, build)
    if found.task is None or found.status != "pending":
        raise invalid("Build is not pending")
    found.task.cancel()
    found.status = "failed"
    return found.document(app, platform.base)


@route("DELETE /apps/{key}/build-cache")
def delete_cache(platform: Platform, key: str) -> dict:
    platform.forget_cache(platform.find_app(key))
    return {}


@route("POST /apps/{key}/slugs", 201)
def create_slug(platform: Platform, key: str, body: dict) -> dict:
    app = platform.find_app(key)
    folder = platform.folder / "slugs" / new_id()
    stack = _stack(body.get("stack")) or app.stack
    slug = Slug(new_id(), folder, platform.options.prebuilt, dict(body["process_types"]), 0, stack)
    slug.commit, slug.checksum = body.get("commit"), body.get("checksum")
    app.slugs[slug.id] = slug
    return slug.document(platform.base, "put")


@route("GET /apps/{key}/slugs/{slug}")
def show_slug(platform: Platform, key: str, slug: str) -> dict:
    found = platform.find_app(key).slugs.get(slug)
    if found is None:
        raise not_found("slug", "slug")
    return found.document(platform.base)


@route("GET /apps/{key}/releases")
def list_releases(platform: Platform, key: str) -> list[dict]:
    app = platform.find_app(key)
    return [release.document(app, platform.base) for release in app.releases]


@route("GET /apps/{key}/releases/{release}")
def show_release(platform: Platform, key: str, release: str) -> dict:
    app = platform.find_app(key)
    found = app.current if release == "current" else app.find_release(release)
    if found is None:
        raise not_found("release", "release")
    return found.document(app, platform.base)


@route("POST /apps/{key}/releases", 201)
def create_release(platform: Platform, key: str, body: dict) -> dict:
    app = platform.find_app(key)
    if "release" in body:
        return platform.rollback(app, str(body["release"])).document(app, platform.base)
    slug = next(
        (one for other in platform.apps.values() for one in other.slugs.values() if one.id == body.get("slug")), None
    )
    if slug is None or not slug.folder.is_dir():
        raise not_found("slug", "slug")
    description = body.get("description") or f"Deploy {(slug.commit or slug.id)[:8]}"
    app.slugs[slug.id] = slug
    return platform.release(app, description, slug=slug).document(app, platform.base)


# -- config


@route("GET /apps/{key}/config-vars")
def show_config(platform: Platform, key: str) -> dict:
    return platform.find_app(key).config


@route("PATCH /apps/{key}/config-vars")
def update_config(platform: Platform, key: str, body: dict) -> dict:
    app = platform.find_app(key)
    platform.change_config(app, body)
    return app.config


@route("GET /apps/{key}/releases/{release}/config-vars")
def show_release_config(platform: Platform, key: str, release: str) -> dict:
    found = platform.find_app(key).find_release(release)
    if found is None:
        raise not_found("release", "release")
    return found.config


# -- formation and dynos


@route("GET /apps/{key}/formation")
def list_formation(platform: Platform, key: str) -> list[dict]:
    app = platform.find_app(key)
    return [formation.document(app) for formation in app.formation.values()]


@route("PATCH /apps/{key}/formation")
def update_formation(platform: Platform, key: str, body: dict) -> list[dict]:
    app = platform.find_app(key)
    images = {one["type"]: one["docker_image"] for one in body["updates"] if "docker_image" in one}
    if images:
        platform.release_images(app, images)
    scaled = [one for one in body["updates"] if set(one) - {"type", "docker_image"}]
    if scaled:
        platform.scale(app, scaled)
    return [formation.document(app) for formation in app.formation.values()]


@route("GET /apps/{key}/formation/{type}")
def show_formation(platform: Platform, key: str, type: str) -> dict:  # noqa: A002  (as in the path)
    app = platform.find_app(key)
    found = next((one for one in app.formation.values() if type in (one.type, one.id)), None)
    if found is None:
        raise not_found("process type", "formation")
    return found.document(app)


@route("PATCH /apps/{key}/formation/{type}")
def update_one_formation(platform: Platform, key: str, type: str, body: dict) -> dict:  # noqa: A002
    app = platform.find_app(key)
    return platform.scale(app, [{**body, "type": type}])[0].document(app)


@route("GET /apps/{key}/dynos")
def list_dynos(platform: Platform, key: str) -> list[dict]:
    return [dyno.document() for dyno in platform.find_app(key).dynos]


@route("GET /apps/{key}/dynos/{dyno}")
def show_dyno(platform: Platform, key: str, dyno: str) -> dict:
    found = next((one for one in platform.find_app(key).dynos if dyno in (one.id, one.name)), None)
    if found is None:
        raise not_found("dyno", "dyno")
    return found.document()


@route("POST /apps/{key}/dynos", 201)
def create_dyno(platform: Platform, key: str, body: dict) -> dict:
    if body.get("attach"):
        raise invalid("This local platform attaches no terminal: leave out attach, and read the log")
    app = platform.find_app(key)
    size = str(body["size"]).lower() if body.get("size") else None
    if size is not None and size not in DYNOS:
        raise invalid(f"No such dyno size: {size}.")
    return platform.run_once(app, body["command"], size=size, env=body.get("env") or {},
                             type_=body.get("type") or "run").document()  # fmt: skip


@route("DELETE /apps/{key}/dynos", 202)
def restart_all(platform: Platform, key: str) -> dict:
    platform.restart(platform.find_app(key))
    return {}


@route("DELETE /apps/{key}/dynos/{dyno}", 202)
def restart_dyno(platform: Platform, key: str, dyno: str) -> dict:
    app = platform.find_app(key)
    found = next((one for one in app.dynos if dyno in (one.id, one.name)), None)
    if found is None and dyno in app.formation:
        platform.restart(app, type_=dyno)
    elif found is None:
        raise not_found("dyno", "dyno")
    else:
        platform.restart(app, name=found.name)
    return {}


@route("DELETE /apps/{key}/formations/{type}", 202)
def restart_formation(platform: Platform, key: str, type: str) -> dict:  # noqa: A002
    platform.restart(platform.find_app(key), type_=type)
    return {}


@route("POST /apps/{key}/dynos/{dyno}/actions/stop", 202)
async def stop_dyno(platform: Platform, key: str, dyno: str) -> dict:
    found = next((one for one in platform.find_app(key).dynos if dyno in (one.id, one.name)), None)
    if found is None:
        raise not_found("dyno", "dyno")
    platform.spawn(found.stop())
    return {}


@route("GET /dyno-sizes")
def list_sizes(platform: Platform) -> list[dict]:
    return [dyno_size(name) for name in DYNOS]


@route("GET /dyno-sizes/{size}")
def show_size(platform: Platform, size: str) -> dict:
    name = next((one for one in DYNOS if size.lower() in (one, fixed_id(one))), None)
    if name is None:
        raise not_found("dyno size", "dyno_size")
    return dyno_size(name)


@route("GET /apps/{key}/available-dyno-sizes")
def list_app_sizes(platform: Platform, key: str) -> list[dict]:
    platform.find_app(key)
    return list_sizes(platform)


# -- logs and features


@route("POST /apps/{key}/log-sessions", 201)
def create_log_session(platform: Platform, key: str, body: dict) -> dict:
    app = platform.find_app(key)
    wanted = Wanted(
        lines=0 if app.is_fir else int(body.get("lines", 100)),
        tail=app.is_fir or bool(body.get("tail", False)),
        source=body.get("source"),
        dyno=body.get("dyno_name") or body.get("dyno"),
        type=body.get("type"),
    )
    session = new_id()
    platform.sessions[session] = (app, wanted)
    made = now()
    return {"id": session, "created_at": made, "updated_at": made, "logplex_url": f"{platform.base}/_logs/{session}"}


def _feature(app: App, name: str) -> dict:
    if name not in FEATURES or (name == AFFINITY and app.is_fir):
        raise not_found("app feature", "app_feature")
    return {
        "id": fixed_id(name),
        "created_at": app.created_at,
        "updated_at": app.updated_at,
        "description": FEATURES[name],
        "display_name": FEATURES[name],
        "doc_url": f"https://devcenter.heroku.com/articles/{name}",
        "enabled": app.features.get(name, False),
        "feedback_email": "feedback@example.org",
        "name": name,
        "state": "general",
    }


@route("GET /apps/{key}/features")
def list_features(platform: Platform, key: str) -> list[dict]:
    app = platform.find_app(key)
    return [_feature(app, name) for name in FEATURES]


@route("GET /apps/{key}/features/{feature}")
def show_feature(platform: Platform, key: str, feature: str) -> dict:
    return _feature(platform.find_app(key), feature)


@route("PATCH /apps/{key}/features/{feature}")
def update_feature(platform: Platform, key: str, feature: str, body: dict) -> dict:
    app = platform.find_app(key)
    _feature(app, feature)
    app.features[feature] = bool(body["enabled"])
    return _feature(app, feature)
