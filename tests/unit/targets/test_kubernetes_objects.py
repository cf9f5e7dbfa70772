"""Kubernetes' objects: what its newest schemas allow, shut in, called by digests, and no text more than a text."""

import json
import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kube_plans import ALONE, DIGEST, ENTRIES, EVIL, IMAGE, RELEASE, SCALINGS, STORES, held, plan

from aweigh.errors import UsageError
from aweigh.runtime.machine import Machine
from aweigh.runtime.measured import Call, Measured, Memory
from aweigh.runtime.plan import Wishes, make_plan
from aweigh.targets.kubernetes.objects import objects_of, release_digest
from aweigh.targets.kubernetes.plan import check_plan, scaled
from aweigh.targets.kubernetes.wish import Entry, Scaling, Stores

INSIDE = STORES["inside"]


def made(given=None, **wish):
    found = objects_of(given or plan(**wish))
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def pods(objects):
    """Every pod that there would be, by the name of what makes it."""
    found = {}
    for (kind, name), one in objects.items():
        if kind in {"Deployment", "StatefulSet", "Job"}:
            found[name] = one["spec"]["template"]["spec"]
        elif kind == "InferenceService":
            found[name] = one["spec"]["predictor"]
    return found


def web(**wish):
    return made(**wish)["Deployment", "penguins-web"]["spec"]["template"]["spec"]["containers"][0]


def environment(container):
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


@pytest.mark.shows("kubernetes", "render", how="schema")
@pytest.mark.needs("kubernetes-validate")
@pytest.mark.parametrize("stores", STORES)
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_every_combination_is_what_the_newest_kubernetes_allows_strictly(entry, scaling, stores):
    found = made(
        entry=ENTRIES[entry],
        scaling=SCALINGS[scaling],
        stores=STORES[stores],
        makes_namespace=True,
        metrics_namespace="monitoring",
        pull_secret="registry",
        settings={"AWEIGH_SWEEPS": "off"},
    )
    for one in found.values():
        held(one)
    json.dumps(list(found.values()), allow_nan=False)


@pytest.mark.needs("kubernetes-validate")
@pytest.mark.parametrize("release", [RELEASE, ALONE], ids=["with all", "alone"])
@pytest.mark.parametrize("scaling", ["fixed", "cpu"])
def test_kserves_own_definition_allows_the_service_of_a_bundle(release, scaling, monkeypatch):
    found = made(kserve_plan(release, scaling=SCALINGS[scaling], entry=ENTRIES["ingress"]))
    for one in found.values():
        held(one)
    assert not {"Service", "Ingress", "HorizontalPodAutoscaler"} & {kind for kind, name in found if "redis" not in name}
    predictor = found["InferenceService", "penguins"]["spec"]["predictor"]
    assert predictor["containers"][0]["name"] == "kserve-container"
    assert predictor["containers"][0]["image"] == IMAGE
    assert predictor["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert predictor["maxReplicas"] == max(1, SCALINGS[scaling].most)


def kserve_plan(release, **wish):
    return msgspec.structs.replace(plan(release, **wish), serving="kserve", bundle="3f9c0a77b1d2")


def test_a_folder_without_a_bundle_is_nothing_for_kserve():
    with pytest.raises(UsageError, match="KServe serves bundles"):
        plan(serving="kserve")


@pytest.mark.parametrize("by", ["queue", "keda"])
def test_what_kserve_does_not_scale_by_is_refused(by):
    with pytest.raises(UsageError, match="KServe scales by the CPU"):
        objects_of(kserve_plan(RELEASE, scaling=SCALINGS[by]))


def test_what_is_not_ours_tells_no_queue():
    with pytest.raises(UsageError, match="tells its queue"):
        plan(replace(ALONE, processes={"web": "streamlit run app.py"}), scaling=SCALINGS["queue"])


@pytest.mark.needs("kubernetes-validate")
@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("Deployment", lambda one: one["spec"].update(replica=1)),
        ("Deployment", lambda one: one["spec"]["template"]["spec"]["containers"][0].update(livenesProbe={})),
        ("ScaledObject", lambda one: one["spec"].update(maxReplicas=1)),
        ("HTTPRoute", lambda one: one["spec"]["rules"][0].update(backends=[])),
        ("Cluster", lambda one: one["spec"].update(instances="one")),
    ],
    ids=["field", "field of a container", "KEDA's", "Gateway's", "CloudNativePG's"],
)
def test_the_schemas_of_the_tests_refuse_what_is_misspelt(kind, spoil):
    found = made(entry=ENTRIES["gateway"], scaling=SCALINGS["keda"], stores=INSIDE)
    one = next(one for (each, _), one in found.items() if each == kind)
    held(one)
    spoil(one)
    with pytest.raises(Exception, match=r"Additional properties|is not of type"):
        held(one)


def test_what_others_refer_to_comes_first_and_the_migration_before_the_app():
    kinds = [one["kind"] for one in objects_of(plan(makes_namespace=True, stores=INSIDE, entry=ENTRIES["ingress"]))]
    assert kinds[:3] == ["Namespace", "ServiceAccount", "ConfigMap"]
    assert kinds.index("Cluster") < kinds.index("Job") < kinds.index("Deployment") < kinds.index("Ingress")
    assert kinds[-4:] == ["Service", "Deployment", "PodDisruptionBudget", "Ingress"]


def test_every_object_says_whose_it_is_and_what_runs():
    found = made(stores=INSIDE, scaling=SCALINGS["keda"], entry=ENTRIES["ingress"])
    for one in found.values():
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "penguins"
        assert labels["app.kubernetes.io/managed-by"] == "aweigh"
        assert labels["app.kubernetes.io/name"] == "penguins"
        assert labels["app.kubernetes.io/version"] == "ab" * 6
        assert one["metadata"]["namespace"] == "models"
    digest = release_digest(plan(stores=INSIDE, scaling=SCALINGS["keda"], entry=ENTRIES["ingress"]))
    template = found["Deployment", "penguins-web"]["spec"]["template"]
    assert template["metadata"]["annotations"]["aweigh.io/release"] == digest
    assert ("Job", f"penguins-migrate-{digest[:12]}") in found


def test_the_pods_of_a_bundle_name_it():
    found = made(msgspec.structs.replace(plan(), bundle="3f9c0a77b1d2"))
    notes = found["Deployment", "penguins-web"]["spec"]["template"]["metadata"]["annotations"]
    assert notes["aweigh.io/bundle"] == "3f9c0a77b1d2"
    assert notes["aweigh.io/release"]


# -- shut in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serving", ["deployment", "kserve"])
def test_every_pod_is_within_the_restricted_profile(serving):
    chosen = plan(stores=INSIDE) if serving == "deployment" else kserve_plan(RELEASE, stores=INSIDE)
    found = pods(made(chosen))
    assert len(found) >= 4
    for pod in found.values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] in {10001, 999}
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for one in pod["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert one["resources"]["limits"]["memory"]
            assert one["resources"]["requests"]["cpu"]
        assert all("emptyDir" in one and one["emptyDir"]["sizeLimit"] for one in pod.get("volumes", ()))


def test_a_namespace_of_its_own_lets_no_other_pods_in():
    labels = made(makes_namespace=True)["Namespace", "models"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_account_of_the_app_has_no_token_in_any_pod():
    assert made()["ServiceAccount", "penguins"]["automountServiceAccountToken"] is False


def test_whoever_is_not_in_front_cannot_reach_the_app_and_it_reaches_only_what_it_needs():
    found = made(entry=ENTRIES["ingress"], stores=INSIDE, metrics_namespace="monitoring")
    out = found["NetworkPolicy", "penguins"]["spec"]
    assert out["policyTypes"] == ["Ingress", "Egress"]
    assert [[one["port"] for one in rule["ports"]] for rule in out["egress"]] == [[53, 53, 5353, 5353], [5432], [6379]]
    assert out["egress"][1]["to"] == [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "penguins-db"}}}]
    allowed = found["NetworkPolicy", "penguins-web"]["spec"]["ingress"]
    names = [one["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for one in allowed]
    assert names == ["ingress-nginx", "monitoring"]
    assert {one["ports"][0]["port"] for one in allowed} == {8000}
    assert found["NetworkPolicy", "penguins-worker"]["spec"]["ingress"][0]["ports"] == [
        {"protocol": "TCP", "port": 8001}
    ]


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (Entry(), [{"podSelector": {}}]),
        (Entry("ingress", "a.example.org", namespace="any"), None),
        (Entry("ingress", "a.example.org", namespace="traefik"), "traefik"),
        (Entry("gateway", "a.example.org", gateway="g", gateway_namespace="gateways"), "gateways"),
        (Entry("gateway", "a.example.org", gateway="g"), "models"),
    ],
    ids=["none", "any", "named", "gateway", "gateway here"],
)
def test_who_may_ask_is_said_by_what_stands_in_front(entry, wanted):
    (rule,) = made(entry=entry)["NetworkPolicy", "penguins-web"]["spec"]["ingress"]
    if isinstance(wanted, str):
        wanted = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": wanted}}}]
    assert rule.get("from") == wanted


def test_a_provider_to_sign_in_with_is_reached_by_https():
    oidc = replace(ALONE, processes={"web": "aweigh serve penguins.aweigh --host 0.0.0.0 --auth oidc"})
    assert made(plan(oidc))["NetworkPolicy", "penguins"]["spec"]["egress"][-1] == {
        "ports": [{"protocol": "TCP", "port": 443}]
    }
    assert len(made(plan(ALONE))["NetworkPolicy", "penguins"]["spec"]["egress"]) == 1


# -- without a failed request ----------------------------------------------------------------------------------------


def test_a_new_replica_is_ready_before_an_old_one_ends_and_that_one_finishes_what_it_does():
    one = made()["Deployment", "penguins-web"]["spec"]
    assert one["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    pod = one["template"]["spec"]
    said = made()
    config = next(each["data"] for (kind, name), each in said.items() if kind == "ConfigMap")
    assert (
        pod["terminationGracePeriodSeconds"] == int(config["AWEIGH_DRAIN_DELAY_S"]) + int(config["AWEIGH_DRAIN_S"]) + 10
    )
    container = pod["containers"][0]
    assert container["startupProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_an_owners_longer_drain_is_waited_for():
    assert plan(settings={"AWEIGH_DRAIN_S": "100.5"}).stop_s == 5 + 101 + 10
    assert plan(settings={"AWEIGH_DRAIN_S": "long"}).stop_s == 35
    assert plan(settings={"AWEIGH_DRAIN_S": "-1"}).stop_s == 35


def test_what_is_not_ours_is_asked_by_its_port_and_waits_before_it_ends():
    other = replace(ALONE, processes={"web": "streamlit run app.py --server.port $PORT", "clock": "python clock.py"})
    found = made(plan(other))
    container = found["Deployment", "penguins-web"]["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["tcpSocket"] == {"port": "http"}
    assert "livenessProbe" not in container
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    clock = found["Deployment", "penguins-clock"]["spec"]["template"]["spec"]["containers"][0]
    assert clock["command"] == ["python", "clock.py"]
    assert "ports" not in clock


def test_more_replicas_are_no_other_release_and_another_setting_is_one():
    one = plan()
    assert release_digest(scaled(one, {"web": 3})) == release_digest(one)
    assert release_digest(plan(settings={"AWEIGH_SWEEPS": "off"})) != release_digest(one)
    assert release_digest(plan(image=f"ghcr.io/team/penguins@sha256:{'cd' * 32}")) != release_digest(one)


def test_what_is_beside_the_app_does_not_start_anew_with_it():
    first = made(stores=INSIDE)
    second = made(plan(stores=INSIDE, image=f"ghcr.io/team/penguins@sha256:{'cd' * 32}"))
    for name in (("StatefulSet", "penguins-redis"), ("Cluster", "penguins-db")):
        assert first[name]["spec"] == second[name]["spec"]
    assert first["Deployment", "penguins-web"] != second["Deployment", "penguins-web"]


def test_a_config_is_never_changed_but_another_one_takes_its_place():
    first = next(one for (kind, _), one in made().items() if kind == "ConfigMap")
    second = next(one for (kind, _), one in made(plan(ALONE)).items() if kind == "ConfigMap")
    assert first["immutable"] is True
    assert first["metadata"]["name"] != second["metadata"]["name"]


# -- reached, and growing --------------------------------------------------------------------------------------------


def test_a_page_stays_with_its_replica_whichever_controller_there_is():
    found = made(entry=ENTRIES["ingress with tls"])
    notes = found["Ingress", "penguins"]["metadata"]["annotations"]
    assert notes["nginx.ingress.kubernetes.io/affinity"] == "cookie"
    assert notes["nginx.ingress.kubernetes.io/session-cookie-name"] == "aweigh_replica"
    assert notes["nginx.ingress.kubernetes.io/session-cookie-secure"] == "true"
    assert notes["haproxy.org/cookie-persistence"] == "aweigh_replica"
    assert "stickiness.enabled=true" in notes["alb.ingress.kubernetes.io/target-group-attributes"]
    assert notes["cert-manager.io/cluster-issuer"] == "letsencrypt"
    service = found["Service", "penguins"]
    assert (
        service["metadata"]["annotations"]["traefik.ingress.kubernetes.io/service.sticky.cookie.name"]
        == "aweigh_replica"
    )
    route = made(entry=ENTRIES["gateway"])["HTTPRoute", "penguins"]["spec"]["rules"][0]
    assert route["sessionPersistence"]["sessionName"] == "aweigh_replica"
    assert "sessionPersistence" not in made(entry=ENTRIES["gateway here"])["HTTPRoute", "penguins"]["spec"]["rules"][0]
    assert made()["Service", "penguins"]["spec"]["sessionAffinity"] == "ClientIP"


def test_an_api_alone_takes_no_cookies():
    found = made(plan(replace(ALONE, has_ui=False), entry=ENTRIES["ingress"]))
    assert not [one for one in found["Ingress", "penguins"]["metadata"]["annotations"] if "affinity" in one]
    assert "annotations" not in found["Service", "penguins"]["metadata"]


def test_what_runs_is_said_by_the_release_whatever_the_image_says():
    assert web()["command"] == RELEASE.processes["web"].split()
    assert web()["env"] == [{"name": "PORT", "value": "8000"}]


@pytest.mark.parametrize(("entry", "proxies", "url"), [
    ("none", "0", None), ("ingress", "1", None), ("ingress with tls", "1", "https://models.example.org"),
    ("gateway", "1", "https://models.example.org"),
])  # fmt: skip
def test_one_proxy_is_believed_where_one_stands_in_front(entry, proxies, url):
    found = plan(entry=ENTRIES[entry])
    assert found.config["AWEIGH_PROXIES"] == proxies
    assert found.config.get("AWEIGH_PUBLIC_URL") == url


def test_it_grows_by_what_waits_and_by_the_cpu_and_shrinks_slowly():
    queue = made(scaling=SCALINGS["queue"])
    one = queue["HorizontalPodAutoscaler", "penguins-web"]["spec"]
    assert [each.get("pods", each.get("resource"))["target"]["type"] for each in one["metrics"]] == [
        "AverageValue", "AverageValue", "Utilization",
    ]  # fmt: skip
    assert one["metrics"][0]["pods"]["metric"]["name"] == "aweigh_requests_in_flight"
    assert one["metrics"][1]["pods"]["metric"]["name"] == "aweigh_queue_rows"
    assert (one["minReplicas"], one["maxReplicas"]) == (2, 9)
    assert one["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
    assert "replicas" not in queue["Deployment", "penguins-web"]["spec"]
    assert len(made(scaling=SCALINGS["cpu"])["HorizontalPodAutoscaler", "penguins-web"]["spec"]["metrics"]) == 1
    keda = made(scaling=SCALINGS["keda"])
    assert not [kind for kind, _ in keda if kind == "HorizontalPodAutoscaler"]
    triggers = keda["ScaledObject", "penguins-web"]["spec"]["triggers"]
    assert triggers[0]["metadata"]["query"] == (
        'sum(aweigh_requests_in_flight{namespace="models",pod=~"penguins-web-[a-z0-9]+-[a-z0-9]+"})'
    )
    # As Prometheus has it, from the beginning of a name to its end: the pods of an app "penguins-web" are none of ours.
    pattern = re.search(r'pod=~"(.*)"', triggers[0]["metadata"]["query"])[1]
    assert re.fullmatch(pattern, "penguins-web-7c9d8f6b5d-x2x4z")
    assert not re.fullmatch(pattern, "penguins-web-web-7c9d8f6b5d-x2x4z")
    assert triggers[-1]["type"] == "cpu"


def test_the_counters_that_are_scaled_by_are_told_by_the_server():
    from aweigh.server.metrics import Counters
    from aweigh.targets.kubernetes.scaling import IN_FLIGHT, QUEUE

    told = Counters().text(info={})
    assert f"\n{IN_FLIGHT} " in told
    assert f"\n{QUEUE} " in told


def test_replicas_that_share_no_store_take_no_jobs():
    assert "AWEIGH_JOBS" not in plan(ALONE).config
    assert plan(ALONE, replicas=2).config["AWEIGH_JOBS"] == "off"
    assert plan(ALONE, scaling=SCALINGS["cpu"]).config["AWEIGH_JOBS"] == "off"
    assert scaled(plan(ALONE), {"web": 2}).config["AWEIGH_JOBS"] == "off"


# -- how much --------------------------------------------------------------------------------------------------------

MEGA = 10**6
MEASURED = Measured(
    memory=Memory(
        alone=110 * MEGA, both=170 * MEGA, parent=20 * MEGA, worker=60 * MEGA, ui=90 * MEGA, files=50 * MEGA,
        peak=120 * MEGA,
    ),
    largest_rows=100_000,
    largest_bytes=2**24,
    calls=(Call(rows=100, threads=1, cpu_us=5_000, wall_us=5_000), Call(rows=1, threads=1, cpu_us=200, wall_us=200)),
)  # fmt: skip


@pytest.mark.parametrize("cpus", ["0.25", "1", "2", "8"])
@pytest.mark.parametrize("has_ui", [True, False])
def test_a_replica_takes_so_much_that_the_plan_that_is_made_in_it_fits(cpus, has_ui):
    release = replace(ALONE, has_ui=has_ui)
    takes = plan(release, measured=MEASURED, cpus=cpus).resources["web"]
    inside = Machine(takes.memory_mi * 2**20, "its limit", float(cpus), "its quota", bounded=True)
    assert make_plan(MEASURED, inside, wishes=Wishes(ui=has_ui)).fit == "fits"
    less = Machine((takes.memory_mi - 64) * 2**20, "its limit", float(cpus), "its quota", bounded=True)
    other = make_plan(MEASURED, less, wishes=Wishes(ui=has_ui))
    assert other.fit != "fits" or other.processes < make_plan(MEASURED, inside, wishes=Wishes(ui=has_ui)).processes
    assert takes.cpu_m == round(float(cpus) * 1000)


def test_what_is_said_counts_more_than_what_was_measured_and_a_guess_is_called_one():
    said = plan(ALONE, measured=MEASURED, memory="1g")
    assert said.resources["web"].memory_mi == 1024
    assert not said.is_estimated
    assert not plan(ALONE, measured=MEASURED).is_estimated
    assert plan(ALONE, measured=msgspec.structs.replace(MEASURED, estimated=True)).is_estimated
    assert plan(ALONE).resources["web"].memory_mi == 512


def test_as_many_rows_wait_as_the_measured_model_answers_in_a_moment():
    assert plan(measured=MEASURED, scaling=SCALINGS["queue"]).scaling.queue_rows == 1000
    assert plan(scaling=SCALINGS["queue"]).scaling.queue_rows == 32
    own = Scaling("queue", 2, 9, queue_rows=7)
    assert plan(measured=MEASURED, scaling=own).scaling.queue_rows == 7


# -- secrets and texts -----------------------------------------------------------------------------------------------


def test_of_secrets_there_are_names_alone():
    address, inside = plan(), plan(stores=INSIDE)
    assert address.given == ("DATABASE_URL", "REDIS_URL")
    assert inside.given == ()
    assert inside.made_up == ("AWEIGH_CACHE_SECRET", "AWEIGH_DEPLOY_SECRET", "AWEIGH_METRICS_TOKEN", "REDIS_PASSWORD")
    for one in (address, inside):
        found = made(one)
        assert not [kind for kind, _ in found if kind == "Secret"]
        container = pods(found)["penguins-web"]["containers"][0]
        assert [next(iter(each.values()))["name"] for each in container["envFrom"]][1:] == [
            "penguins-config", "penguins-secrets", "penguins-config",
        ]  # fmt: skip
    said = environment(web(stores=INSIDE))
    assert said["DATABASE_URL"] == {"secretKeyRef": {"name": "penguins-db-app", "key": "uri"}}
    assert said["REDIS_URL"] == "redis://:$(REDIS_PASSWORD)@penguins-redis:6379/0"


def test_who_changes_a_secret_starts_the_pods_anew():
    one = made(msgspec.structs.replace(plan(), secrets_version="12"))["Deployment", "penguins-web"]
    assert one["spec"]["template"]["metadata"]["annotations"]["aweigh.io/secrets"] == "12"
    assert release_digest(msgspec.structs.replace(plan(), secrets_version="12")) != release_digest(plan())


@pytest.mark.parametrize("evil", EVIL)
def test_a_setting_stays_a_text_and_changes_nothing_else(evil):
    found, plain = made(settings={"AWEIGH_NOTE": evil}), made(settings={"AWEIGH_NOTE": "x"})
    assert found["ConfigMap", "penguins-config"]["data"] == {"AWEIGH_NOTE": evil}
    assert {kind for kind, _ in found} == {kind for kind, _ in plain}


@pytest.mark.parametrize("line", ["run $(PORT) ${HOME} 'a b'", "run $$(X) $", "sh -c 'a: b # c'"])
def test_kubernetes_puts_nothing_into_a_line_of_the_owners(line):
    found = made(plan(replace(ALONE, processes={**ALONE.processes, "clock": line})))
    command = pods(found)["penguins-clock"]["containers"][0]["command"]
    assert command[:2] == ["/bin/sh", "-c"]
    # What the kubelet makes of it: two of them are one, and none that stands alone is left.
    assert "$" not in command[2].replace("$$", "")
    assert command[2].replace("$$", "$").replace("exec ", "") == line


@given(st.text(max_size=30))
def test_any_setting_is_kept_as_it_stands_or_refused(text):
    try:
        found = made(settings={"AWEIGH_NOTE": text})
    except UsageError:
        assert not text.isprintable()
        return
    assert found["ConfigMap", "penguins-config"]["data"]["AWEIGH_NOTE"] == text


@pytest.mark.parametrize("name", ["A B", "A=B", "A\nB", "1A", "", "A" * 129, "É", "A$B", "{{ x }}"])
def test_a_setting_with_no_name_of_a_variable_is_refused(name):
    with pytest.raises(UsageError, match="setting"):
        plan(settings={name: "x"})


@pytest.mark.parametrize(
    "name", ["x: y", "web worker", "Web", "migrate", "a\nb", "${A}", "-a", "", "a" * 31, "{{ x }}", "a/b"]
)
def test_a_process_that_cannot_be_a_container_is_refused(name):
    with pytest.raises(UsageError, match="container"):
        plan(replace(ALONE, processes={"web": "aweigh serve x", name: "run"}))


def test_a_line_with_a_control_character_is_refused():
    with pytest.raises(UsageError, match="characters"):
        plan(replace(ALONE, processes={"web": "aweigh serve x", "clock": "run 'a\nb'"}))


@pytest.mark.parametrize(
    "wish",
    [
        {"app": "Penguins"}, {"app": "a;b"}, {"app": "{{ x }}"}, {"app": "a\nb"}, {"app": "-a"}, {"app": "a" * 41},
        {"app": ""}, {"namespace": "a b"}, {"namespace": "a\n---"}, {"namespace": ""}, {"namespace": "a" * 64},
        {"namespace": "{{ .Release.Namespace }}"}, {"memory": "lots"}, {"memory": "1M"}, {"cpus": "0"}, {"cpus": "nan"},
        {"replicas": -1}, {"replicas": 201}, {"pull_secret": "a b"}, {"metrics_namespace": "$(x)"},
        {"entry": Entry("ingress", "a b")}, {"entry": Entry("ingress", "")}, {"entry": Entry("ingress", "a" * 300)},
        {"entry": Entry("ingress", "a.example.org", class_name='x"\n')},
        {"entry": Entry("ingress", "a.example.org", tls_secret="a/b")},
        {"entry": Entry("ingress", "a.example.org", tls_secret="a..b")}, {"pull_secret": "a" * 254},
        {"entry": Entry("ingress", "a.example.org", tls_secret="A.example.org")}, {"pull_secret": "a.b\n"},
        {"namespace": "a.b"}, {"entry": Entry("ingress", "a.example.org", namespace="a.b")},
        {"entry": Entry("ingress", "a.example.org", issuer="letsencrypt")},
        {"entry": Entry("gateway", "a.example.org")},
        {"entry": Entry("gateway", "a.example.org", gateway="{{ x }}")},
        {"replicas": 2, "scaling": Scaling("cpu", 1, 3)},
        {"scaling": Scaling("cpu", 3, 2)}, {"scaling": Scaling("cpu", 0, 2)}, {"scaling": Scaling("cpu", 1, 201)},
        {"scaling": Scaling("queue", in_flight=0)}, {"scaling": Scaling("cpu", cpu_percent=101)},
        {"scaling": Scaling("keda")}, {"scaling": Scaling("keda", prometheus="http://a:b@c")},
        {"scaling": Scaling("keda", prometheus='http://p"\n  x: y')}, {"scaling": Scaling("keda", prometheus="http://p:0")},
        {"stores": Stores(size="5")}, {"stores": Stores(size="5Gi\n")}, {"stores": Stores(instances=0)},
        {"stores": Stores(postgresql_port=0)},
    ],
    ids=str,
)  # fmt: skip
def test_a_wish_that_cannot_be_is_refused(wish):
    with pytest.raises(UsageError):
        plan(**wish)


def test_what_has_a_dot_in_its_name_is_called_by_it():
    entry = Entry("ingress", "models.example.org", "nginx.internal", "models.example.org-tls", "example.org")
    (found,) = [
        one for one in objects_of(plan(entry=entry, pull_secret="registry.example")) if one["kind"] == "Ingress"
    ]
    assert held(found)["spec"]["tls"][0]["secretName"] == "models.example.org-tls"
    assert found["spec"]["ingressClassName"] == "nginx.internal"


@pytest.mark.parametrize("image", ["ghcr.io/team/penguins:1.0", "a b", "", f"x@{DIGEST}\n", "{{ x }}"])
def test_an_image_without_a_digest_is_refused(image):
    with pytest.raises(UsageError):
        plan(image=image)


def test_a_plan_that_was_read_is_held_to_the_same():
    written = msgspec.json.encode(plan(stores=INSIDE))
    from aweigh.targets.kubernetes.plan import Plan

    read = msgspec.json.decode(written, type=Plan)
    assert objects_of(read) == objects_of(plan(stores=INSIDE))
    for change in ({"namespace": "a\nb"}, {"app": "{{"}, {"image": "x:1"}, {"settings": {"A B": "x"}}):
        with pytest.raises(UsageError):
            check_plan(msgspec.structs.replace(read, **change))


def test_a_scaled_app_is_given_no_number():
    with pytest.raises(UsageError, match="by themselves"):
        scaled(plan(scaling=SCALINGS["cpu"]), {"web": 2})
    with pytest.raises(UsageError, match="no process 'clock'"):
        scaled(plan(), {"clock": 1})
    assert scaled(plan(), {"worker": 3}).replicas == {"web": 1, "worker": 3}
