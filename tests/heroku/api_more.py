"""The other requests: the account, add-ons, domains, drains, pipelines and promotions."""

from typing import Any

from tests.heroku.api import Function
from tests.heroku.api import route as _route
from tests.heroku.errors import ApiError, invalid, not_found
from tests.heroku.platform import SERVICES, Platform
from tests.heroku.state import OWNER, REGION, STACKS, Addon, App, fixed_id, named, new_id
from tests.heroku.streams import now

ROUTES: dict[tuple[str, str], tuple[Function, int]] = {}
__all__ = ["ROUTES"]


def route(line: str, status: int = 200) -> Any:
    """Enter a function for a method and a path, here."""
    return _route(line, status, ROUTES)


# -- the account, and what every platform has


@route("GET /account")
def account(platform: Platform) -> dict:
    made = "2020-01-01T00:00:00Z"
    return {
        **OWNER,
        "allow_tracking": False,
        "beta": False,
        "country_of_residence": None,
        "created_at": made,
        "default_organization": None,
        "default_team": None,
        "federated": False,
        "identity_provider": None,
        "last_login": made,
        "name": "Captain",
        "sms_number": None,
        "suspended_at": None,
        "delinquent_at": None,
        "two_factor_authentication": False,
        "updated_at": made,
        "verified": True,
        "acknowledged_msa": False,
        "acknowledged_msa_at": None,
        "italian_customer_terms": None,
        "italian_partner_terms": None,
    }


@route("GET /users/{user}")
def user(platform: Platform, user: str) -> dict:
    return account(platform)


@route("GET /account/rate-limits")
def rate_limits(platform: Platform) -> dict:
    return {"remaining": platform.calls_left}


@route("GET /account/features")
def account_features(platform: Platform) -> list[dict]:
    return []


@route("GET /account/features/{feature}")
def account_feature(platform: Platform, feature: str) -> dict:
    raise not_found("account feature", "account_feature")


@route("GET /teams")
def teams(platform: Platform) -> list[dict]:
    return []


def _stack(name: str) -> dict:
    made = "2020-01-01T00:00:00Z"
    return {**named(name), "created_at": made, "updated_at": made, "state": "public", "default": name == "heroku-24"}


@route("GET /stacks")
def stacks(platform: Platform) -> list[dict]:
    return [_stack(name) for name in STACKS]


@route("GET /stacks/{stack}")
def stack(platform: Platform, stack: str) -> dict:
    if stack not in STACKS:
        raise not_found("stack", "stack")
    return _stack(stack)


@route("GET /regions")
def regions(platform: Platform) -> list[dict]:
    made = "2020-01-01T00:00:00Z"
    place = {"country": "United States", "description": "United States", "locale": "Virginia"}
    provider = {"name": "amazon-web-services", "region": "us-east-1"}
    return [{**REGION, **place, "created_at": made, "updated_at": made, "private_capable": False, "provider": provider}]


# -- add-ons


@route("POST /apps/{key}/addons", 201)
def create_addon(platform: Platform, key: str, body: dict) -> dict:
    app = platform.find_app(key)
    plan = body["plan"]["name"] if isinstance(body["plan"], dict) else body["plan"]
    attachment = (body.get("attachment") or {}).get("name")
    return platform.create_addon(app, plan, body.get("name"), attachment).document(app)


@route("GET /apps/{key}/addons")
def list_addons(platform: Platform, key: str) -> list[dict]:
    app = platform.find_app(key)
    return [addon.document(app) for addon in app.addons]


@route("GET /addons")
def list_all_addons(platform: Platform) -> list[dict]:
    return [addon.document(app) for app in platform.apps.values() for addon in app.addons]


def _find_addon(platform: Platform, key: str, of: App | None = None) -> tuple[App, Addon]:
    for app in [of] if of else platform.apps.values():
        for addon in app.addons:
            if key in (addon.id, addon.name):
                return app, addon
    raise not_found("add-on", "addon")


@route("GET /addons/{addon}")
def show_any_addon(platform: Platform, addon: str) -> dict:
    app, found = _find_addon(platform, addon)
    return found.document(app)


@route("GET /apps/{key}/addons/{addon}")
def show_addon(platform: Platform, key: str, addon: str) -> dict:
    app, found = _find_addon(platform, addon, platform.find_app(key))
    return found.document(app)


@route("DELETE /apps/{key}/addons/{addon}")
def delete_addon(platform: Platform, key: str, addon: str) -> dict:
    app, found = _find_addon(platform, addon, platform.find_app(key))
    platform.destroy_addon(app, found)
    return found.document(app)


@route("POST /actions/addons/resolve")
def resolve_addon(platform: Platform, body: dict) -> list[dict]:
    of = platform.find_app(body["app"]) if body.get("app") else None
    app, found = _find_addon(platform, body["addon"], of)
    return [found.document(app)]


@route("GET /apps/{key}/addon-attachments")
def list_attachments(platform: Platform, key: str) -> list[dict]:
    app = platform.find_app(key)
    return [addon.attachment(app) for addon in app.addons]


@route("GET /addon-attachments")
def list_all_attachments(platform: Platform) -> list[dict]:
    return [addon.attachment(app) for app in platform.apps.values() for addon in app.addons]


@route("GET /addons/{addon}/addon-attachments")
def list_addon_attachments(platform: Platform, addon: str) -> list[dict]:
    app, found = _find_addon(platform, addon)
    return [found.attachment(app)]


@route("GET /addon-services/{service}")
def show_service(platform: Platform, service: str) -> dict:
    if service not in SERVICES:
        raise not_found("add-on service", "addon_service")
    made = "2020-01-01T00:00:00Z"
    return {
        **named(service),
        "cli_plugin_name": None,
        "created_at": made,
        "updated_at": made,
        "human_name": service,
        "state": "ga",
        "supports_multiple_installations": True,
        "supports_sharing": True,
        "supported_generations": [named("cedar")],
    }


# -- buildpacks, domains, drains, collaborators


@route("GET /apps/{key}/buildpack-installations")
def list_buildpacks(platform: Platform, key: str) -> list[dict]:
    packs = platform.find_app(key).buildpacks
    return [{"buildpack": {"name": pack, "url": pack}, "ordinal": number} for number, pack in enumerate(packs)]


@route("PUT /apps/{key}/buildpack-installations")
def put_buildpacks(platform: Platform, key: str, body: dict) -> list[dict]:
    platform.find_app(key).buildpacks = [update["buildpack"] for update in body["updates"]]
    return list_buildpacks(platform, key)


@route("GET /apps/{key}/domains")
def list_domains(platform: Platform, key: str) -> list[dict]:
    return platform.find_app(key).domains


@route("POST /apps/{key}/domains", 201)
def create_domain(platform: Platform, key: str, body: dict) -> dict:
    app = platform.find_app(key)
    domain = {
        "id": new_id(),
        "acm_status": None,
        "acm_status_reason": None,
        "app": {"id": app.id, "name": app.name},
        "cname": f"{body['hostname']}.herokudns.example",
        "created_at": now(),
        "updated_at": now(),
        "hostname": body["hostname"],
        "kind": "custom",
        "sni_endpoint": None,
        "status": "none",
    }
    app.domains.append(domain)
    return domain


@route("GET /apps/{key}/log-drains")
def list_drains(platform: Platform, key: str) -> list[dict]:
    return platform.find_app(key).drains


@route("POST /apps/{key}/log-drains", 201)
def create_drain(platform: Platform, key: str, body: dict) -> dict:
    drain = {"id": new_id(), "addon": None, "extended": None, "token": f"d.{new_id()}", "url": body["url"],
             "created_at": now(), "updated_at": now()}  # fmt: skip
    platform.find_app(key).drains.append(drain)
    return drain


@route("GET /apps/{key}/collaborators")
def list_collaborators(platform: Platform, key: str) -> list[dict]:
    app = platform.find_app(key)
    return [{"id": fixed_id(app.id), "app": {"id": app.id, "name": app.name}, "created_at": app.created_at,
             "updated_at": app.created_at, "role": "owner", "permissions": [],
             "user": {**OWNER, "federated": False}}]  # fmt: skip


# -- pipelines


def find_pipeline(platform: Platform, key: str) -> dict:
    """Find a pipeline by name or id."""
    for pipeline in platform.pipelines.values():
        if key in (pipeline["id"], pipeline["name"]):
            return pipeline
    raise not_found("pipeline", "pipeline")


@route("POST /pipelines", 201)
def create_pipeline(platform: Platform, body: dict) -> dict:
    if any(one["name"] == body["name"] for one in platform.pipelines.values()):
        raise invalid(f"Name {body['name']} is already taken")
    pipeline = {"id": new_id(), "name": body["name"], "created_at": now(), "updated_at": now(),
                "generation": named("cedar"), "owner": {"id": OWNER["id"], "type": "user"}}  # fmt: skip
    platform.pipelines[pipeline["id"]] = pipeline
    return pipeline


@route("GET /pipelines")
def list_pipelines(platform: Platform) -> list[dict]:
    return list(platform.pipelines.values())


@route("GET /pipelines/{pipeline}")
def show_pipeline(platform: Platform, pipeline: str) -> dict:
    return find_pipeline(platform, pipeline)


@route("DELETE /pipelines/{pipeline}")
def delete_pipeline(platform: Platform, pipeline: str) -> dict:
    found = platform.pipelines.pop(find_pipeline(platform, pipeline)["id"])
    platform.couplings = [one for one in platform.couplings if one["pipeline"]["id"] != found["id"]]
    return found


def couple(platform: Platform, app: App, pipeline: dict, stage: str) -> dict:
    """Put an app into a pipeline."""
    if any(one["app"]["id"] == app.id for one in platform.couplings):
        raise invalid("App is already coupled to a pipeline")
    coupling = {"id": new_id(), "app": {"id": app.id}, "pipeline": {"id": pipeline["id"]}, "stage": stage,
                "created_at": now(), "updated_at": now()}  # fmt: skip
    platform.couplings.append(coupling)
    return coupling


@route("POST /pipeline-couplings", 201)
def create_coupling(platform: Platform, body: dict) -> dict:
    app = platform.find_app(body["app"])
    return couple(platform, app, find_pipeline(platform, body["pipeline"]), body["stage"])


@route("GET /pipeline-couplings")
def list_couplings(platform: Platform) -> list[dict]:
    return platform.couplings


@route("GET /pipelines/{pipeline}/pipeline-couplings")
def list_pipeline_couplings(platform: Platform, pipeline: str) -> list[dict]:
    found = find_pipeline(platform, pipeline)
    return [one for one in platform.couplings if one["pipeline"]["id"] == found["id"]]


@route("GET /apps/{key}/pipeline-couplings")
def show_app_coupling(platform: Platform, key: str) -> dict:
    app = platform.find_app(key)
    found = next((one for one in platform.couplings if one["app"]["id"] == app.id), None)
    if found is None:
        raise not_found("pipeline coupling", "pipeline_coupling")
    return found


def _coupling(platform: Platform, key: str) -> dict:
    found = next((one for one in platform.couplings if one["id"] == key), None)
    if found is None:
        raise not_found("pipeline coupling", "pipeline_coupling")
    return found


@route("GET /pipeline-couplings/{coupling}")
def show_coupling(platform: Platform, coupling: str) -> dict:
    return _coupling(platform, coupling)


@route("PATCH /pipeline-couplings/{coupling}")
def update_coupling(platform: Platform, coupling: str, body: dict) -> dict:
    found = _coupling(platform, coupling)
    found.update(stage=body.get("stage", found["stage"]), updated_at=now())
    return found


@route("DELETE /pipeline-couplings/{coupling}")
def delete_coupling(platform: Platform, coupling: str) -> dict:
    found = _coupling(platform, coupling)
    platform.couplings.remove(found)
    return found


# -- promotions


@route("POST /pipeline-promotions", 201)
def create_promotion(platform: Platform, body: dict) -> dict:
    pipeline = find_pipeline(platform, body["pipeline"]["id"])
    source = platform.find_app(body["source"]["app"]["id"])
    wanted = body["source"].get("release", {}).get("id")
    release = source.find_release(wanted) if wanted else source.current
    if release is None or release.slug is None:
        raise ApiError(422, "invalid_params", "The source app has no release to promote")
    targets = [platform.find_app(target["app"]["id"]) for target in body["targets"]]
    coupled = {one["app"]["id"] for one in platform.couplings if one["pipeline"]["id"] == pipeline["id"]}
    if not {source.id, *(app.id for app in targets)} <= coupled:
        raise invalid("Source and targets must be in the pipeline")
    id_, made = new_id(), now()
    promotion = {
        "id": id_,
        "created_at": made,
        "updated_at": made,
        "pipeline": {"id": pipeline["id"]},
        "source": {"app": {"id": source.id}, "release": {"id": release.id}},
        "status": "completed",
    }
    reached = []
    for app in targets:
        app.slugs[release.slug.id] = release.slug
        made_release = platform.release(app, f"Promote {source.name} v{release.version}", slug=release.slug)
        reached.append({"id": new_id(), "app": {"id": app.id}, "error_message": None, "status": "pending",
                        "pipeline_promotion": {"id": id_}, "release": {"id": made_release.id}})  # fmt: skip
    platform.promotions[id_] = (promotion, reached)
    return promotion


@route("GET /pipeline-promotions/{promotion}")
def show_promotion(platform: Platform, promotion: str) -> dict:
    if promotion not in platform.promotions:
        raise not_found("pipeline promotion", "pipeline_promotion")
    return platform.promotions[promotion][0]


@route("GET /pipeline-promotions/{promotion}/promotion-targets")
def list_promotion_targets(platform: Platform, promotion: str) -> list[dict]:
    show_promotion(platform, promotion)
    targets = platform.promotions[promotion][1]
    for target in targets:
        release = platform.find_app(target["app"]["id"]).find_release(target["release"]["id"])
        target["status"] = release.status if release is not None else "failed"
        target["error_message"] = "Release command failed" if target["status"] == "failed" else None
    return targets
