"""A bundle as KServe's InferenceService: the same image in a container of its own, which speaks ``/v2`` already.

KServe makes the Deployment, the Service, the route and the scaling of it, as the cluster is set up; what else a
release has (its settings, the migration, the workers, the stores) stands beside it.
"""

from aweigh.targets.compose.plan import WEB
from aweigh.targets.kubernetes.meta import BUNDLE, RELEASE, Object, made
from aweigh.targets.kubernetes.plan import Plan
from aweigh.targets.kubernetes.workload import pod_spec

CONTAINER = "kserve-container"
"""How KServe finds the container that answers."""
MODE = "serving.kserve.io/deploymentMode"


def inference_service(plan: Plan, release: str) -> Object:
    """The InferenceService, made of plain Deployments, without Knative."""
    pod = pod_spec(plan, WEB, called=CONTAINER)
    scaling = plan.scaling
    by_itself = scaling.by != "fixed"
    count = plan.replicas.get(WEB, 1)
    predictor: Object = {
        "minReplicas": scaling.least if by_itself else count,
        "maxReplicas": scaling.most if by_itself else max(1, count),
        "labels": {"app.kubernetes.io/instance": plan.app, "app.kubernetes.io/component": WEB},
        "annotations": {RELEASE: release} | ({BUNDLE: plan.bundle} if plan.bundle else {}),
        **pod,
    }
    if by_itself:
        predictor |= {"scaleMetric": "cpu", "scaleTarget": scaling.cpu_percent}
    return made(
        plan,
        "serving.kserve.io/v1beta1",
        "InferenceService",
        plan.app,
        component=WEB,
        annotations={MODE: "RawDeployment", RELEASE: release},
        spec={"predictor": predictor},
    )
