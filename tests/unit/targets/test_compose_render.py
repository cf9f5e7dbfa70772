"""Compose's documents: what the specification allows, no variable put in, and nothing that becomes more than a text."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aweigh.errors import UsageError
from aweigh.oci.reference import parse_reference
from aweigh.targets.compose.caddy import caddyfile
from aweigh.targets.compose.plan import Chosen, Plan, Wish, check_wish, configured, plan_of, scaled
from aweigh.targets.compose.render import render, web_told
from aweigh.targets.release import Release
from aweigh.targets.yaml import Said, literal, to_yaml

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "compose" / "compose-spec.json").read_text())
DIGEST = "sha256:" + "ab" * 32
IMAGE = Chosen("localhost/aweigh-penguins:" + "ab" * 32, DIGEST)
RELEASE = Release(
    name="penguins",
    python="3.12",
    processes={
        "web": "aweigh serve penguins.aweigh --host 0.0.0.0 --auth password --workers auto",
        "worker": "aweigh worker penguins.aweigh",
        "release": "aweigh migrate",
    },
    files={},
    config={"AWEIGH_PROXIES": "1", "AWEIGH_JOBS": "worker"},
    stores=("postgresql", "redis"),
    description="Says which; $(penguin)\n`it` is",
)
EVIL = (
    "$(touch x)", "${HOME}", "$HOME", "$$", "; rm -rf /", "'\"", "a: b", "#", "\\", "\\n", "- x", "{}", "[a]", "yes",
    "No", "null", "~", "0x1f", "1e3", "1_000", "12:30:00", "2026-01-01", ".inf", "&a", "*a",
    "!!python/object:os.system", "%YAML", "---", "é🐧",
)  # fmt: skip


def rendered(release=RELEASE, wish=None, **more):
    documents = render(plan_of(release, wish or Wish("penguins"), IMAGE, **more))
    found = yaml.safe_load(documents["compose.yaml"])
    jsonschema.Draft7Validator(SCHEMA).validate(found)
    return found, documents


@pytest.mark.shows("compose", "render", how="schema")
@pytest.mark.parametrize("stores", [(), ("postgresql",), ("redis",), ("postgresql", "redis")])
@pytest.mark.parametrize("replicas", [1, 3])
def test_every_combination_is_what_the_specification_allows(stores, replicas):
    found, documents = rendered(replace(RELEASE, stores=stores), Wish("penguins", replicas=replicas))
    assert ("Caddyfile" in documents) == (replicas > 1) == ("proxy" in found["services"])
    assert {"postgres", "valkey"} & found["services"].keys() == {
        {"postgresql": "postgres", "redis": "valkey"}[one] for one in stores
    }


def test_every_container_is_held_to_limits_and_may_nothing_that_it_does_not_need():
    services = rendered(wish=Wish("penguins", replicas=2, memory="1g", cpus="0.5"))[0]["services"]
    assert services.keys() == {"web", "worker", "migrate", "postgres", "valkey", "proxy"}
    for one in services.values():
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["mem_limit"]
        assert one["pids_limit"] == 512
    assert services["web"]["mem_limit"] == "1G"
    assert services["web"]["cpus"] == 0.5
    assert "cap_add" not in services["web"]
    assert services["web"]["stop_grace_period"] == "30s"
    assert {services[one]["restart"] for one in ("web", "worker")} == {"unless-stopped"}
    assert services["migrate"]["restart"] == "no"


def test_the_migration_ends_before_the_app_starts_and_the_stores_are_healthy_before_that():
    services = rendered()[0]["services"]
    stores = {"postgres": {"condition": "service_healthy"}, "valkey": {"condition": "service_healthy"}}
    assert services["migrate"]["depends_on"] == stores
    assert services["web"]["depends_on"] == {**stores, "migrate": {"condition": "service_completed_successfully"}}


def test_what_stands_in_front_is_believed_and_nobody_else():
    one, several = rendered()[0], rendered(wish=Wish("penguins", replicas=2))[0]
    assert one["services"]["web"]["environment"]["AWEIGH_PROXIES"] == "0"
    assert several["services"]["web"]["environment"]["AWEIGH_PROXIES"] == "1"
    assert one["services"]["web"]["ports"] == ["127.0.0.1:8000:8000"]
    assert "ports" not in several["services"]["web"]
    assert several["services"]["proxy"]["ports"][0] == "127.0.0.1:8000:8000"
    assert several["services"]["proxy"]["ports"][1] == "127.0.0.1::8002"
    plan = plan_of(RELEASE, Wish("penguins", replicas=2), IMAGE)
    assert "lb_policy cookie" in caddyfile(plan)
    assert "trusted_proxies" not in caddyfile(plan)


def test_the_port_is_this_machines_alone_unless_it_is_public():
    public = rendered(wish=Wish("penguins", port=80, public=True, hosts=("models.example.org",)))[0]["services"]["web"]
    assert public["ports"] == ["80:8000"]
    assert public["environment"]["AWEIGH_HOSTS"] == "models.example.org,localhost,127.0.0.1,[::1]"
    assert "AWEIGH_HOSTS" not in rendered(wish=Wish("penguins", public=True))[0]["services"]["web"]["environment"]


def test_what_is_beside_the_app_is_the_same_in_the_next_release():
    first = rendered()[0]["services"]
    other = Chosen("localhost/aweigh-penguins:" + "cd" * 32, "sha256:" + "cd" * 32)
    second = yaml.safe_load(render(plan_of(RELEASE, Wish("penguins"), other))["compose.yaml"])["services"]
    assert first["web"] != second["web"]
    assert first["postgres"] == second["postgres"]
    assert first["valkey"] == second["valkey"]


def test_no_secret_is_in_a_document():
    text = b"".join(rendered(wish=Wish("penguins", replicas=2))[1].values()).decode()
    assert "postgresql://" not in text
    assert "redis://" not in text
    assert re.search(r"requirepass \w", text) is None


@pytest.mark.parametrize("evil", EVIL)
def test_a_setting_comes_out_of_the_document_as_it_went_in(evil):
    found, documents = rendered(settings={"AWEIGH_NOTE": evil})
    assert found["services"]["web"]["environment"]["AWEIGH_NOTE"].replace("$$", "$") == evil
    assert found.keys() == {"name", "services", "volumes", "networks", "secrets"}
    plain, _ = rendered(settings={"AWEIGH_NOTE": "x"})
    for services in (found["services"], plain["services"]):
        services["web"]["labels"].pop("io.aweigh.told")  # it tells one from the other
        for one in services.values():
            one["environment"] = 0
    assert found["services"] == plain["services"]
    # Of what compose would put in for a variable there is nothing: every $ has its twin.
    assert b"$" not in documents["compose.yaml"].replace(b"$$", b"")


@given(st.text(max_size=30))
def test_any_text_is_a_setting_as_it_stands_or_refused(text):
    try:
        found, documents = rendered(settings={"AWEIGH_NOTE": text})
    except UsageError:
        assert not text.isprintable()
        return
    assert found["services"]["web"]["environment"]["AWEIGH_NOTE"].replace("$$", "$") == text
    assert b"$" not in documents["compose.yaml"].replace(b"$$", b"")


@pytest.mark.parametrize("name", ["A B", "A=B", "A\nB", "1A", "", "A" * 129, "É", "A$B"])
def test_a_setting_with_no_name_of_a_variable_is_refused(name):
    with pytest.raises(UsageError, match="setting"):
        rendered(settings={name: "x"})


@pytest.mark.parametrize(
    "name", ["x: y", "web worker", "Web", "postgres", "migrate", "a\nb", "${A}", "-a", "", "a" * 31]
)
def test_a_process_that_cannot_be_a_container_is_refused(name):
    with pytest.raises(UsageError, match="container"):
        rendered(replace(RELEASE, processes={"web": "aweigh serve x", name: "run"}))


@pytest.mark.parametrize("line", ["run $(x) ${HOME} 'a b'", 'run; rm -rf / && echo "q"', "sh -c 'a: b # c'"])
def test_a_line_of_the_owners_is_one_command_to_a_shell_and_nothing_to_compose(line):
    command = rendered(replace(RELEASE, processes={"web": "aweigh serve x", "clock": line}))[0]["services"]["clock"][
        "command"
    ]
    assert command[:2] == ["/bin/sh", "-c"]
    assert command[2].replace("$$", "$").replace("exec ", "") == line


def test_a_line_with_a_control_character_is_refused():
    with pytest.raises(UsageError, match="characters"):
        rendered(replace(RELEASE, processes={"web": "aweigh serve x", "clock": "run 'a\nb'"}))


@pytest.mark.parametrize(
    "wish",
    [
        Wish("Penguins"), Wish("a;b"), Wish("$(x)"), Wish("a\nb"), Wish("-a"), Wish("a" * 41), Wish(""),
        Wish("a", memory="lots"), Wish("a", memory="1M"), Wish("a", memory="512M\n"), Wish("a", memory="0"),
        Wish("a", cpus="0"), Wish("a", cpus="nan"), Wish("a", cpus="1;"), Wish("a", cpus="-1"),
        Wish("a", port=0), Wish("a", port=70000), Wish("a", replicas=-1), Wish("a", replicas=21),
        Wish("a", hosts=("x y",)), Wish("a", hosts=("a,b",)), Wish("a", hosts=("a" * 300,)),
        Wish("a", images={"postgres": "a b"}), Wish("a", images={"postgres": "x\n"}), Wish("a", images={"other": "x"}),
    ],
    ids=str,
)  # fmt: skip
def test_a_wish_that_cannot_be_is_refused(wish):
    with pytest.raises(UsageError):
        check_wish(wish)


def test_more_replicas_are_another_plan_with_a_proxy_in_front():
    plan = plan_of(RELEASE, Wish("penguins"), IMAGE)
    more = scaled(plan, {"web": 3, "worker": 2})
    assert more.has_proxy
    assert more.replicas == {"web": 3, "worker": 2}
    assert more.config["AWEIGH_PROXIES"] == "1"
    assert scaled(more, {"web": 1, "worker": 1}) == plan
    with pytest.raises(UsageError, match="no process 'clock'"):
        scaled(plan, {"clock": 1})


def test_replicas_that_share_no_store_take_no_jobs_and_counts_stay_where_none_is_said():
    alone = replace(RELEASE, processes={"web": "aweigh serve x"}, config={}, stores=())
    assert plan_of(alone, Wish("a", replicas=2), IMAGE).config["AWEIGH_JOBS"] == "off"
    assert plan_of(
        RELEASE, Wish("a"), IMAGE, before=scaled(plan_of(RELEASE, Wish("a"), IMAGE), {"web": 2, "worker": 3})
    ).replicas == {"web": 2, "worker": 3}


# -- YAML ------------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.text(max_size=12) | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_whatever_is_written_another_reader_reads_the_same(value):
    def shape(one):
        """Lists of lists are written by nobody here."""
        if isinstance(one, list):
            return [shape(each) for each in one if not isinstance(each, list)]
        return {key: shape(each) for key, each in one.items()} if isinstance(one, dict) else one

    wanted = shape(value)
    found = yaml.safe_load(to_yaml(wanted, head="a head"))
    assert (found or {}) == wanted


@pytest.mark.parametrize(
    "text", [*EVIL, "", " ", "a\nb", "\ud83d\ude00"[:0] + "\U0001f600", "\x00", "\x85", "\u2028", "\ufeff"]
)
def test_a_doubtful_text_is_a_text(text):
    assert yaml.safe_load(to_yaml({text: [text, {"k": text}]})) == {text: [text, {"k": text}]}


@pytest.mark.parametrize("value", [object(), None, {1: 2}, "\ud800", [b"x"]])
def test_what_is_no_value_is_refused(value):
    with pytest.raises(TypeError):
        to_yaml({"a": value})


def test_a_comment_cannot_become_more_than_one():
    assert to_yaml({"a": Said("b", "one\ntwo")}) == "# one\n# two\na: b\n"
    with pytest.raises(TypeError):
        to_yaml({"a": Said("b", "one\rtwo: three")})


def test_every_dollar_is_doubled_in_keys_and_values():
    assert literal({"A": ["$x", {"k": Said("$$", "why")}]}) == {"A": ["$$x", {"k": Said("$$$$", "why")}]}


# -- proxies, slots, and what is beside the app ----------------------------------------------------------------------


def test_a_proxy_of_the_owners_own_is_believed_when_they_say_so_and_counted_with_ours():
    one = plan_of(RELEASE, Wish("p"), IMAGE, settings={"AWEIGH_PROXIES": "1"})
    assert one.config["AWEIGH_PROXIES"] == "1"
    several = scaled(one, {"web": 2})
    assert several.config["AWEIGH_PROXIES"] == "2"
    assert caddyfile(several).count("trusted_proxies private_ranges") == 4
    assert scaled(several, {"web": 1}) == one  # what the owner said is not lost on the way
    public = plan_of(RELEASE, Wish("p", public=True, replicas=2), IMAGE, settings={"AWEIGH_PROXIES": "1"})
    assert "trusted_proxies 0.0.0.0/0 ::/0" in caddyfile(public)


def test_names_that_the_owner_sets_leave_this_machines_own_by_which_a_release_is_looked_at():
    def hosts(said):
        return plan_of(RELEASE, Wish("p"), IMAGE, settings={"AWEIGH_HOSTS": said}).config["AWEIGH_HOSTS"]

    assert hosts("models.example.org") == "models.example.org,localhost,127.0.0.1,[::1]"
    assert hosts("localhost") == "localhost,127.0.0.1,[::1]"
    assert hosts("*") == "*"


@pytest.mark.parametrize("value", ["-1", "x", "", "16", "1.5", "١"])
def test_a_number_of_proxies_that_is_none_is_refused(value):
    with pytest.raises(UsageError, match="AWEIGH_PROXIES"):
        rendered(settings={"AWEIGH_PROXIES": value})


def test_a_setting_that_is_taken_away_is_again_as_the_release_says():
    set_ = plan_of(RELEASE, Wish("p"), IMAGE, settings={"AWEIGH_JOBS": "off", "AWEIGH_PROXIES": "1"})
    assert set_.config["AWEIGH_JOBS"] == "off"
    assert configured(set_, {}) == plan_of(RELEASE, Wish("p"), IMAGE)
    assert configured(set_, {}).config["AWEIGH_JOBS"] == "worker"


def test_images_beside_the_app_stay_what_they_are_unless_others_are_named():
    first = plan_of(RELEASE, Wish("p", images={"postgres": "docker.io/library/postgres:17"}), IMAGE)
    second = plan_of(replace(RELEASE, stores=()), Wish("p"), IMAGE, before=first)
    third = plan_of(RELEASE, Wish("p"), IMAGE, before=second)
    assert third.images["postgres"] == "docker.io/library/postgres:17"  # its data is still what 17 has written
    assert plan_of(RELEASE, Wish("p", images={"postgres": "a/b:18"}), IMAGE, before=third).images["postgres"] == (
        str(parse_reference("a/b:18"))
    )


def test_a_plan_that_an_older_version_kept_is_read():
    plan = plan_of(RELEASE, Wish("p", replicas=2), IMAGE)
    told = json.loads(msgspec.json.encode(plan))
    for name in ("base", "settings", "proxy"):
        del told[name]
    old = msgspec.convert(told, Plan)
    assert scaled(old, {"web": 1}).config == plan_of(RELEASE, Wish("p"), IMAGE).config
    assert old.has_proxy


def test_both_slots_run_the_same_and_nothing_of_the_proxy_changes_with_a_release():
    plan = plan_of(RELEASE, Wish("p", replicas=2), IMAGE)
    other = plan_of(RELEASE, Wish("p", replicas=3, memory="1G"), Chosen("localhost/aweigh-p:cd", "sha256:" + "cd" * 32))
    first, second = (yaml.safe_load(render(plan, slot=slot)["compose.yaml"])["services"] for slot in "ab")
    web, web_b = first.pop("web"), second.pop("web-b")
    assert (web["labels"].pop("io.aweigh.slot"), web_b["labels"].pop("io.aweigh.slot")) == ("a", "b")
    assert web == web_b
    assert first == second
    assert yaml.safe_load(render(other, slot="b", mark="x")["compose.yaml"])["services"]["proxy"] == first["proxy"]
    assert web_told(plan, "") != web_told(other, "")
    assert web_told(plan, "") != web_told(plan, "x")
    assert web_told(plan, "") == web_told(scaled(plan, {"web": 3}), "")


def test_a_single_web_container_may_have_a_proxy_too_and_keeps_it():
    plan = plan_of(RELEASE, Wish("p", proxy=True), IMAGE)
    assert plan.has_proxy
    assert plan.config["AWEIGH_PROXIES"] == "1"
    assert plan_of(RELEASE, Wish("p"), IMAGE, before=plan).has_proxy
    assert not plan_of(RELEASE, Wish("p", proxy=False), IMAGE, before=plan).has_proxy


def test_jobs_that_valkey_alone_keeps_are_never_thrown_away_whatever_was_there_before():
    def policy(*stores):
        command = rendered(replace(RELEASE, stores=stores))[0]["services"]["valkey"]["command"]
        return command[command.index("--maxmemory-policy") + 1]

    assert policy("redis") == "noeviction"
    assert policy("postgresql", "redis") == "allkeys-lru"


def test_what_holds_data_has_a_network_that_leads_nowhere_and_no_port():
    found = rendered(wish=Wish("penguins", replicas=2, public=True))[0]
    assert found["networks"]["stores"] == {"internal": True}
    for name, one in found["services"].items():
        expected = ["stores"] if name in {"postgres", "valkey"} else None if name == "proxy" else ["default", "stores"]
        assert one.get("networks") == expected, name
        assert ("ports" in one) == (name == "proxy")


def test_no_log_grows_without_an_end():
    for one in rendered(wish=Wish("penguins", replicas=2))[0]["services"].values():
        assert one["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


def test_a_process_cannot_have_the_name_of_the_second_slot():
    with pytest.raises(UsageError, match="container"):
        rendered(replace(RELEASE, processes={"web": "aweigh serve x", "web-b": "run"}))
