"""A plan as a kustomize base, with an overlay that shows what is usually another one elsewhere."""

from aweigh.targets.compose.plan import WEB
from aweigh.targets.kubernetes.meta import Object, config_name, web_name
from aweigh.targets.kubernetes.plain import HEAD, plain_of
from aweigh.targets.kubernetes.plan import Plan
from aweigh.targets.yaml import to_yaml

API = "kustomize.config.k8s.io/v1beta1"
BASE, OVERLAY, NAME = "base", "overlays/example", "kustomization.yaml"
_TOLD = """\
An example: copy this folder, and change what is another one in your cluster. The image is named by its digest; settings
of your own go into the ConfigMap {config}, which counts more than what the release says of itself."""


def kustomization_of(plan: Plan) -> dict[str, bytes]:
    """The files of the base and the overlay."""
    files = plain_of(plan)
    resources: Object = {"apiVersion": API, "kind": "Kustomization", "resources": list(files)}
    overlay = to_yaml(overlay_of(plan), head=_TOLD.format(config=config_name(plan)))
    return {
        **{f"{BASE}/{name}": content for name, content in files.items()},
        f"{BASE}/{NAME}": to_yaml(resources, head=HEAD.format(app=plan.app)).encode(),
        f"{OVERLAY}/{NAME}": overlay.encode(),
    }


def overlay_of(plan: Plan) -> Object:
    """What an overlay changes: the image, the number of replicas, settings, labels."""
    name, _, digest = plan.image.partition("@")
    settings: Object = {
        "name": config_name(plan),
        "behavior": "merge" if plan.settings else "create",
        "literals": ["AWEIGH_SWEEPS=on"],
        "options": {"disableNameSuffixHash": True},
    }
    found: Object = {
        "apiVersion": API,
        "kind": "Kustomization",
        "resources": ["../../base"],
        "labels": [{"pairs": {"example.org/team": "models"}, "includeSelectors": False}],
        "images": [{"name": name, "digest": digest}],
        "configMapGenerator": [settings | {"namespace": plan.namespace}],
    }
    if plan.scaling.by == "fixed" and plan.serving == "deployment":
        found["replicas"] = [{"name": web_name(plan), "count": plan.replicas.get(WEB, 1)}]
    return found
