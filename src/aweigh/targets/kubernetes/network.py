"""How an app is reached, and what it may reach: Service, Ingress or a Gateway's route, and the network policies."""

from aweigh.targets.compose.plan import MIGRATE, WEB, WORKER
from aweigh.targets.image.build import PORT
from aweigh.targets.kubernetes.meta import Object, database_name, made, redis_name, selector_of, web_name
from aweigh.targets.kubernetes.plan import Plan
from aweigh.targets.kubernetes.wish import ANYWHERE
from aweigh.targets.kubernetes.workload import HEALTH_PORT, HTTP

COOKIE = "aweigh_replica"
"""By which whoever has a page open stays with the replica that holds their session."""
SERVICE_PORT = 80
MOST_BODY_MB = 1100
LONGEST_S = 3600
DAY_S = 86_400
DNS_PORTS = (53, 5353)
"""A policy sees the pod's own port, which is OpenShift's second."""
NODE_DNS = "169.254.0.0/16"
"""Where a cache of names listens on the node itself."""


def service(plan: Plan) -> Object:
    """One name for all web replicas."""
    spec: Object = {
        "type": "ClusterIP",
        "selector": selector_of(plan, WEB),
        "ports": [{"name": HTTP, "port": SERVICE_PORT, "targetPort": HTTP, "protocol": "TCP"}],
    }
    if plan.entry.way == "none" and plan.has_ui:
        spec["sessionAffinity"] = "ClientIP"  # nothing stands in front that could set a cookie
    annotations = _traefik(plan) if plan.entry.way == "ingress" and plan.has_ui else {}
    return made(plan, "v1", "Service", plan.app, component=WEB, annotations=annotations, spec=spec)


def ingress(plan: Plan) -> Object:
    """The app at its host, for whichever controller there is: each knows its own annotations and no others."""
    entry = plan.entry
    backend = {"service": {"name": plan.app, "port": {"name": HTTP}}}
    spec: Object = {} if not entry.class_name else {"ingressClassName": entry.class_name}
    if entry.tls_secret:
        spec["tls"] = [{"hosts": [entry.host], "secretName": entry.tls_secret}]
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec["rules"] = [{"host": entry.host, "http": {"paths": paths}}]
    annotations = dict(_limits()) | (_sticky(plan) if plan.has_ui else {})
    if entry.issuer:
        annotations["cert-manager.io/cluster-issuer"] = entry.issuer
    return made(
        plan,
        "networking.k8s.io/v1",
        "Ingress",
        plan.app,
        component=WEB,
        annotations=dict(sorted(annotations.items())),
        spec=spec,
    )


def _limits() -> dict[str, str]:
    """Long answers, sockets that stay open, and a job's file of a gigabyte."""
    nginx = "nginx.ingress.kubernetes.io"
    return {
        f"{nginx}/proxy-body-size": f"{MOST_BODY_MB}m",
        f"{nginx}/proxy-read-timeout": str(LONGEST_S),
        f"{nginx}/proxy-send-timeout": str(LONGEST_S),
        "haproxy-ingress.github.io/proxy-body-size": f"{MOST_BODY_MB}m",
        "haproxy-ingress.github.io/timeout-tunnel": f"{LONGEST_S}s",
        "alb.ingress.kubernetes.io/target-type": "ip",
        "alb.ingress.kubernetes.io/healthcheck-path": "/health/ready",
        "appgw.ingress.kubernetes.io/health-probe-path": "/health/ready",
    }


def _sticky(plan: Plan) -> dict[str, str]:
    nginx, haproxy = "nginx.ingress.kubernetes.io", "haproxy-ingress.github.io"
    found = {
        f"{nginx}/affinity": "cookie",
        f"{nginx}/affinity-mode": "persistent",
        f"{nginx}/session-cookie-name": COOKIE,
        f"{nginx}/session-cookie-samesite": "Lax",
        f"{nginx}/session-cookie-change-on-failure": "true",
        f"{haproxy}/affinity": "cookie",
        f"{haproxy}/session-cookie-name": COOKIE,
        f"{haproxy}/session-cookie-same-site": "true",
        "haproxy.org/cookie-persistence": COOKIE,
        "alb.ingress.kubernetes.io/target-group-attributes": ",".join(
            ("stickiness.enabled=true", "stickiness.type=lb_cookie", f"stickiness.lb_cookie.duration_seconds={DAY_S}")
        ),
        "appgw.ingress.kubernetes.io/cookie-based-affinity": "true",
    }
    return found | ({f"{nginx}/session-cookie-secure": "true"} if plan.entry.has_tls else {})


def _traefik(plan: Plan) -> dict[str, str]:
    """Traefik reads them of the Service."""
    at = "traefik.ingress.kubernetes.io/service.sticky.cookie"
    secure = {f"{at}.secure": "true"} if plan.entry.has_tls else {}
    return {at: "true", f"{at}.name": COOKIE, f"{at}.httponly": "true", f"{at}.samesite": "lax"} | secure


def route(plan: Plan) -> Object:
    """The app at its host, through a Gateway that is there."""
    entry = plan.entry
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": entry.gateway}
    if entry.gateway_namespace:
        parent["namespace"] = entry.gateway_namespace
    rule: Object = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"group": "", "kind": "Service", "name": plan.app, "port": SERVICE_PORT, "weight": 1}],
    }
    if plan.has_ui and entry.sticky:
        cookie = {"lifetimeType": "Session"}
        rule["sessionPersistence"] = {"type": "Cookie", "sessionName": COOKIE, "cookieConfig": cookie}
    spec = {"parentRefs": [parent], "hostnames": [entry.host], "rules": [rule]}
    return made(plan, "gateway.networking.k8s.io/v1", "HTTPRoute", plan.app, component=WEB, spec=spec)


# -- who may talk to whom --------------------------------------------------------------------------------------------


def policies(plan: Plan) -> list[Object]:
    """Nothing but what is needed: out to names and stores, in from what stands in front."""
    components = [one for one in (*plan.replicas, MIGRATE) if one in plan.processes]
    chosen: Object = {
        "matchLabels": {"app.kubernetes.io/instance": plan.app},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": components}],
    }
    out = {"podSelector": chosen, "policyTypes": ["Ingress", "Egress"], "egress": _out(plan)}
    found = [_policy(plan, plan.app, out), _policy(plan, web_name(plan), _web_in(plan))]
    if plan.metrics_namespace and WORKER in plan.processes:
        allowed = {"from": [_namespace(plan.metrics_namespace)], "ports": _ports(HEALTH_PORT)}
        spec = {"podSelector": {"matchLabels": selector_of(plan, WORKER)}, "policyTypes": ["Ingress"]}
        found.append(_policy(plan, f"{plan.app}-{WORKER}", spec | {"ingress": [allowed]}))
    if "redis" in plan.stores and plan.where.redis == "inside":
        found.append(_policy(plan, redis_name(plan), _redis_in(plan, components)))
    return found


def _policy(plan: Plan, name: str, spec: Object) -> Object:
    return made(plan, "networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)


def _web_in(plan: Plan) -> Object:
    ports = _ports(PORT)
    allowed: Object = {"ports": ports}
    front = plan.entry.front
    if plan.entry.way == "none" and not front:
        # KServe has a way in of its own, wherever that runs.
        allowed = allowed if plan.serving == "kserve" else {"from": [{"podSelector": {}}], "ports": ports}
    elif front != ANYWHERE:
        allowed = {"from": [_namespace(front or plan.namespace)], "ports": ports}
    rules = [allowed]
    if plan.metrics_namespace:
        rules.append({"from": [_namespace(plan.metrics_namespace)], "ports": ports})
    chosen = {"matchLabels": selector_of(plan, WEB)}
    return {"podSelector": chosen, "policyTypes": ["Ingress"], "ingress": rules}


def _redis_in(plan: Plan, components: list[str]) -> Object:
    pods = {
        "matchLabels": {"app.kubernetes.io/instance": plan.app},
        "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": components}],
    }
    rules = [{"from": [{"podSelector": pods}], "ports": _ports(6379)}]
    chosen = {"matchLabels": selector_of(plan, "redis")}
    return {"podSelector": chosen, "policyTypes": ["Ingress", "Egress"], "ingress": rules}


def _out(plan: Plan) -> list[Object]:
    names = [{"protocol": one, "port": port} for port in DNS_PORTS for one in ("UDP", "TCP")]
    found: list[Object] = [{"to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": NODE_DNS}}], "ports": names}]
    where = plan.where
    if "postgresql" in plan.stores:
        pods = {"podSelector": {"matchLabels": {"cnpg.io/cluster": database_name(plan)}}}
        found.append(_to(pods if where.postgresql == "inside" else None, where.postgresql_port))
    if "redis" in plan.stores:
        pods = {"podSelector": {"matchLabels": selector_of(plan, "redis")}}
        found.append(_to(pods if where.redis == "inside" else None, where.redis_port))
    if plan.https_out:
        found.append(_to(None, 443))
    return found


def _to(pods: Object | None, port: int) -> Object:
    return {"ports": _ports(port)} if pods is None else {"to": [pods], "ports": _ports(port)}


def _ports(*numbers: int) -> list[Object]:
    return [{"protocol": "TCP", "port": one} for one in numbers]


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
