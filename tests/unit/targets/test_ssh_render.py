"""What is written on a server: units, Caddy's site, settings; nothing in them was not allow-listed."""

import os
import re
import subprocess
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import require_tool

from aweigh.errors import RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.release import Release
from aweigh.targets.ssh.environ import env_lines
from aweigh.targets.ssh.kept import (
    InSlot,
    Kept,
    KeptGolden,
    Place,
    encoded,
    kept_of,
    read_golden,
    read_history,
)
from aweigh.targets.ssh.place import Address, Paths, Wish, check_wish, port_of, read_address
from aweigh.targets.ssh.render import place_of, planned, render, shown
from aweigh.targets.ssh.site import render_site
from aweigh.targets.ssh.units import render_scripts, render_units

ODD = [
    "a\nb", "a\rb", "$(id)", "`id`", "a;b", "a'b", 'a"b', "a%nb", "%H", "a\\x20b", "é", "\u2028", "a\0b", "{a}",
    "#a", "a|b", "a&b",
]  # fmt: skip
"""What a shell, systemd or Caddy would read as more than a word."""
NO_NAMES = ["", "-a", "a-", "../a", "a/b", "a b", "*", ".", "a" * 24, "A", "1a"]
"""Words, and yet no names."""
DIGEST = "0123456789ab"
PLACE = Place(app="penguins", base=20_040, memory="512M")
RELEASE = Release(
    name="penguins",
    python="3.11",
    processes={
        "web": "aweigh serve penguins.aweigh --host 0.0.0.0 --auth password --workers auto",
        "worker": "aweigh worker penguins.aweigh",
        "release": "aweigh migrate",
    },
    files={"wheels/aweigh.whl": b"wheel"},
    requirements="click==8.1 --hash=sha256:00\n",
    config={"AWEIGH_PROXIES": "1", "AWEIGH_DRAIN_S": "20"},
    stores=("postgresql",),
)
KEPT = kept_of(RELEASE, bundle=None)
WISH = Wish("penguins", Address("192.0.2.7", "root"), memory="512M")


def unit(kept=KEPT, place=PLACE, kind="web", **more):
    return render_units(kept, place, release=DIGEST, slot="b", **more)[Paths(place.app).unit(kind, "b")].decode()


def test_a_slot_has_units_of_its_own():
    found = render_units(KEPT, PLACE, release=DIGEST, slot="b")
    assert set(found) == {
        "aweigh-penguins.web.b@.service", "aweigh-penguins.worker.b@.service", "aweigh-penguins.release.b.service",
    }  # fmt: skip
    assert found == render_units(KEPT, PLACE, release=DIGEST, slot="b")
    text = unit()
    started = (
        f"ExecStart=/opt/aweigh/penguins/releases/{DIGEST}/venv/bin/aweigh serve penguins.aweigh --host 127.0.0.1 "
        "--auth password --workers auto"
    )
    for line in (
        started,
        "Environment=PORT=2005%i",
        "EnvironmentFile=/opt/aweigh/penguins/shared/env",
        "User=aweigh-penguins",
        "StateDirectory=aweigh/penguins",
        f"MemoryMax={512 * 2**20}",
        "CapabilityBoundingSet=",
        "SystemCallFilter=@system-service",
        "NoNewPrivileges=yes",
        "Environment=AWEIGH_HOSTS=*",
    ):
        assert line in text.splitlines()
    assert port_of(PLACE.base, "b", 3) == 20_053


def test_no_two_apps_share_the_name_of_a_unit():
    names = [
        Paths(app).unit(kind, "a", 0) for app, kind in [("x", "y-web"), ("x-y", "web"), ("x", "web"), ("x-web", "web")]
    ]
    assert len(set(names)) == 4
    assert not Paths("x-y").unit("web", "a").startswith(Paths("x").prefix)


def test_a_restart_backs_off_where_systemd_knows_how():
    assert "RestartSteps=6" in unit(systemd=254)
    assert "RestartSteps" not in unit(systemd=252)


@pytest.mark.parametrize("odd", ODD)
def test_nothing_odd_reaches_a_unit(odd):
    for kept in (
        msgspec.structs.replace(KEPT, processes={"web": f"aweigh serve {odd} --auth none"}),
        msgspec.structs.replace(KEPT, processes={"web": KEPT.processes["web"], f"w{odd}": "aweigh migrate"}),
        msgspec.structs.replace(KEPT, config={f"A{odd}": "1"}),
        msgspec.structs.replace(KEPT, config={"A": odd}),
    ):
        with pytest.raises(UsageError):
            render_units(kept, PLACE, release=DIGEST, slot="a")


@pytest.mark.parametrize("odd", [*ODD, *NO_NAMES])
def test_nothing_odd_that_a_host_says_reaches_a_unit_or_a_site(odd):
    with pytest.raises(UsageError):
        render_units(KEPT, PLACE, release=odd, slot="a")
    for place in (
        msgspec.structs.replace(PLACE, app=odd),
        msgspec.structs.replace(PLACE, domain=odd),
        msgspec.structs.replace(PLACE, base=20_001),
        msgspec.structs.replace(PLACE, port=0),
    ):
        with pytest.raises(UsageError):
            render_site(place)
    for place in (msgspec.structs.replace(PLACE, app=odd), msgspec.structs.replace(PLACE, memory=odd)):
        with pytest.raises(UsageError):
            render_units(KEPT, place, release=DIGEST, slot="a")


@pytest.mark.parametrize("command", ["rm -rf x", "/bin/sh -c x", "aweigh serve a  b", "python -m aweigh"])
def test_only_aweigh_is_run_without_a_procfile(command):
    with pytest.raises(UsageError):
        unit(msgspec.structs.replace(KEPT, processes={"web": command}))


@given(st.text(max_size=40))
def test_a_unit_has_the_same_lines_whatever_is_said(text):
    kept = msgspec.structs.replace(KEPT, config={"AWEIGH_X": text})
    try:
        found = unit(kept)
    except UsageError:
        return
    assert found.count("\n") == unit(msgspec.structs.replace(KEPT, config={"AWEIGH_X": ""})).count("\n")
    assert f"Environment=AWEIGH_X={text}" in found.splitlines()
    assert re.search(r"%(?!i)", found) is None


@pytest.mark.parametrize("odd", [*ODD, *NO_NAMES])
def test_nothing_odd_is_an_app_or_a_domain(odd):
    with pytest.raises(UsageError):
        check_wish(replace(WISH, app=odd))
    with pytest.raises(UsageError):
        check_wish(replace(WISH, domain=odd))


@pytest.mark.parametrize("odd", ODD)
def test_nothing_odd_is_a_host_or_a_python(odd):
    for address in (f"root@{odd}", f"{odd}@host", f"host:{odd}", odd, f"[{odd}]"):
        with pytest.raises(UsageError):
            read_address(address)
    with pytest.raises(UsageError):
        check_wish(replace(WISH, python=odd))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@host",
        "root@",
        "-oProxyCommand=x",
        "a@-oX",
        "-a@host",
        "host:",
        "host:0",
        "host:65536",
        "host:1:2",
        "host:000001" + "9" * 5000,
    ],
)
def test_what_ssh_would_take_for_an_option_is_no_host(text):
    with pytest.raises(UsageError):
        read_address(text)


@pytest.mark.parametrize(
    "domain", ["app.local", "localhost", "192.0.2.7", "a.test", "App.example.org", "a.internal", "a." * 140 + "org"]
)
def test_a_name_that_nobody_certifies_is_no_domain(domain):
    with pytest.raises(UsageError):
        check_wish(replace(WISH, domain=domain))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host", Address("host")),
        ("root@192.0.2.7:2222", Address("192.0.2.7", "root", 2222)),
        ("me@[2001:db8::1]:22", Address("2001:db8::1", "me", 22)),
        ("[2001:db8::1]", Address("2001:db8::1")),
    ],
)
def test_addresses(text, address):
    assert read_address(text) == address
    assert address.typed == text


def test_the_site_sends_to_the_loopback_by_the_markers_alone():
    text = render_site(PLACE).decode()
    assert "http://:8080 {" in text
    assert text.count("reverse_proxy") == 20
    assert "reverse_proxy 127.0.0.1:20040 {" in text
    assert "reverse_proxy 127.0.0.1:20050 127.0.0.1:20051 {" in text
    assert text.count("lb_policy cookie") == 18
    named = render_site(msgspec.structs.replace(PLACE, domain="app.example.org")).decode()
    assert "\napp.example.org {" in named
    assert "Strict-Transport-Security" in named


@pytest.mark.shows("ssh", "render", how="schema")
def test_systemd_takes_the_units(tmp_path):
    analyze = require_tool("systemd-analyze")
    folder = tmp_path / "units"
    folder.mkdir()
    for slot in ("a", "b"):
        for name, content in render_units(KEPT, PLACE, release=DIGEST, slot=slot, systemd=252).items():
            # The program and the user are the host's: here another program stands for it.
            text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", content.decode())
            (folder / name.replace("@.", "@0.")).write_text(re.sub(r"WorkingDirectory=.*", "", text))
    done = subprocess.run(
        [analyze, "verify", "--man=no", *sorted(map(str, folder.iterdir()))],
        capture_output=True, text=True, check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
    )  # fmt: skip
    about = [line for line in done.stderr.splitlines() if "aweigh-" in line]
    assert (done.returncode, about) == (0, []), done.stderr


def test_systemd_rates_the_sandbox(tmp_path):
    analyze = require_tool("systemd-analyze")
    path = tmp_path / "aweigh-penguins.web.b@0.service"
    path.write_text(unit())
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", "--threshold=15", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


@pytest.mark.parametrize("domain", [None, "app.example.org"])
def test_caddy_takes_the_site(tmp_path, domain):
    caddy = require_tool("caddy")
    path = tmp_path / "Caddyfile"
    path.write_bytes(render_site(msgspec.structs.replace(PLACE, domain=domain)))
    done = subprocess.run(
        [caddy, "adapt", "--adapter", "caddyfile", "--validate", "--config", str(path)],
        capture_output=True, text=True, check=False, env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    server = msgspec.json.decode(done.stdout)["apps"]["http"]["servers"]["srv0"]
    assert server["listen"] == [":443" if domain else ":8080"]
    if domain is not None:
        # Nothing switches Caddy's automatic HTTPS off.
        assert "automatic_https" not in server
    assert "formatted" not in done.stderr


def test_an_owners_line_is_a_shells_and_listens_on_the_loopback():
    own = replace(
        RELEASE,
        processes={"web": "streamlit run app.py --server.port $PORT --server.address 0.0.0.0", "clock": "A=1 b && c"},
        own=frozenset({"Procfile"}),
    )
    kept = kept_of(own, bundle=None)
    assert render_scripts(kept) == {
        "aweigh-release/run/web": b"exec streamlit run app.py --server.port $PORT --server.address 127.0.0.1\n",
        "aweigh-release/run/clock": b"A=1 b && c\n",
    }
    text = unit(kept)
    assert "ExecStart=/bin/sh /opt/aweigh/penguins/releases/0123456789ab/aweigh-release/run/web\n" in text
    assert "streamlit run" not in text


@pytest.mark.parametrize("line", ["exec gunicorn app", ". ./run", "cd app", "A=1 b", "! b", "export A=1"])
def test_a_line_that_begins_with_a_shells_own_word_stays_as_it_is(line):
    own = replace(RELEASE, processes={"web": line}, own=frozenset({"Procfile"}))
    assert render_scripts(kept_of(own, bundle=None)) == {"aweigh-release/run/web": f"{line}\n".encode()}


def test_streamlit_is_asked_by_caddy_alone_unless_it_is_told_otherwise():
    own = replace(
        RELEASE, processes={"web": "streamlit run app.py --server.port $PORT"}, own=frozenset({"Procfile"}), config={}
    )
    assert "Environment=STREAMLIT_SERVER_ADDRESS=127.0.0.1\n" in unit(kept_of(own, bundle=None))
    told = replace(own, config={"STREAMLIT_SERVER_ADDRESS": "::1"})
    assert "Environment=STREAMLIT_SERVER_ADDRESS=::1\n" in unit(kept_of(told, bundle=None))
    assert "STREAMLIT_SERVER_ADDRESS" not in unit()


def test_gunicorn_is_asked_by_caddy_alone_unless_it_is_told_otherwise():
    own = replace(RELEASE, processes={"web": "gunicorn app:app"}, own=frozenset({"Procfile"}), config={})
    assert "Environment=GUNICORN_CMD_ARGS=--bind=127.0.0.1:2005%i\n" in unit(kept_of(own, bundle=None))
    told = replace(own, config={"GUNICORN_CMD_ARGS": "--threads=4"})
    assert "Environment=GUNICORN_CMD_ARGS=--threads=4\n" in unit(kept_of(told, bundle=None))
    assert "GUNICORN" not in unit()


def test_pip_runs_shut_in_and_not_as_root():
    commands = [one for one in planned(RELEASE, WISH) if "systemd-run" in one.argv]
    assert len(commands) == 2
    for one in commands:
        assert "-I" in one.argv
        assert {
            "--unit=aweigh-penguins.install.service", "--property=User=aweigh-penguins",
            "--property=ProtectSystem=strict", "--property=NoNewPrivileges=yes",
        } <= set(one.argv)  # fmt: skip


def test_a_machine_that_starts_anew_has_what_people_are_sent_to():
    said = [one.shown for one in planned(RELEASE, WISH)]
    enabled = next(i for i, one in enumerate(said) if "enable --quiet" in one and ".web.a@0" in one)
    assert enabled < next(i for i, one in enumerate(said) if "live a1" in one)


def test_caddy_gets_no_port_of_the_apps_own():
    for port in (20_000, 29_999):
        with pytest.raises(UsageError, match="that the apps have"):
            check_wish(replace(WISH, port=port))
    check_wish(replace(WISH, port=30_000))


def test_render_holds_no_secret_and_asks_nobody():
    documents = render(replace(RELEASE, secrets=("AWEIGH_CACHE_SECRET",)), WISH)
    assert set(documents) == {
        "/etc/systemd/system/aweigh-penguins.web.a@.service",
        "/etc/systemd/system/aweigh-penguins.worker.a@.service",
        "/etc/systemd/system/aweigh-penguins.release.a.service",
        "/etc/caddy/aweigh/penguins.caddy",
        "/opt/aweigh/penguins/shared/env",
        "/opt/aweigh/penguins/shared/place.json",
    }
    assert documents["/opt/aweigh/penguins/shared/env"].decode().startswith("# AWEIGH_CACHE_SECRET (made up there")
    commands = planned(RELEASE, WISH)
    for one in commands:
        assert "\n" not in one.shown
        assert all(isinstance(word, str) for word in one.argv)
    assert [shown(one) for one in commands] == [shown(one) for one in planned(RELEASE, WISH)]


@pytest.mark.parametrize("requirements", [None, "click\n"])
def test_what_is_not_locked_by_hashes_is_not_installed(requirements):
    with pytest.raises(UsageError, match="by hashes"):
        render(replace(RELEASE, requirements=requirements), WISH)


def test_what_was_asked_for_stays_until_something_else_is():
    there = Place(app="penguins", base=20_060, domain="a.example.org", memory="2G", replicas={"web": 3})
    assert place_of(replace(WISH, memory=None), there) == there
    assert place_of(replace(WISH, port=8081), there).domain is None
    assert place_of(replace(WISH, replicas={"worker": 2}), there).replicas == {"web": 3, "worker": 2}


@pytest.mark.parametrize("value", ["a\nb", "a\0", "\x1b[2J", "a" * 8001])
def test_a_setting_with_a_control_character_is_refused(value):
    with pytest.raises(UsageError):
        env_lines({"A": Secret(value)})


@pytest.mark.parametrize("name", ["a", "A B", "A=B", "A\nB", "PATH", "LD_PRELOAD", "PYTHONPATH", "PORT", "Ä", "$A", ""])
def test_a_setting_with_an_odd_name_is_refused(name):
    with pytest.raises(UsageError):
        env_lines({name: Secret("1")})


def test_history_passes_over_what_was_cut_off():
    text = f"{DIGEST} - 1700000000\n0123\n{DIGEST} ba9876543210 1700000001\n{DIGEST}"
    assert [(one.label, one.bundle) for one in read_history(text)] == [("v1", None), ("v2", "ba9876543210")]


def test_documents_of_the_host_are_strict():
    assert msgspec.json.decode(encoded(PLACE), type=Place) == PLACE
    for content in (b'{"app": "a", "base": 20000, "more": 1}', b'{"app": 1, "base": 2}', b"null", b""):
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(content, type=Place)
    for content in (
        b'{"app": "a", "base": 22}', b'{"app": "a", "base": 20001}',
        b'{"app": "a", "base": 20000, "replicas": {"web": -1}}',
        b'{"app": "a", "base": 20000, "replicas": {"web": 1000000000000}}',
        b'{"app": "a", "base": 20000, "replicas": {"w\\u001b": 1}}',
    ):  # fmt: skip
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(content, type=Place)
    assert msgspec.json.decode(encoded(KEPT), type=Kept) == KEPT
    rows = KeptGolden("a", "b", [{}, {}], [{}], 0.0)
    with pytest.raises(RemoteError, match="golden rows"):
        read_golden(encoded(rows))
    assert InSlot(DIGEST, {"web": 1}) == msgspec.json.decode(encoded(InSlot(DIGEST, {"web": 1})), type=InSlot)
