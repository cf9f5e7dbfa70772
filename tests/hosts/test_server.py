"""Deployments over ssh to a host that boots, with its own systemd, sshd and Caddy: `make hosts`."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from tests.streamlit_page import StreamlitPage

from aweigh.bundle.manifest import short
from aweigh.bundle.verify import open_bundle
from aweigh.targets.releasing import Wishes, release_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUNDLES = ROOT / "tests" / "bundles"
ONNX, NATIVE = BUNDLES / "format-1-onnx.aweigh", BUNDLES / "format-1-native.aweigh"
APP, PORT = "penguins", 18081
SERVE = "aweigh serve penguins.aweigh --host 0.0.0.0 --auth none --no-ui --workers 1"
ROWS = [
    {"bill_length_mm": 34.4, "body_mass_g": 3325.0, "island": "Torgersen"},
    {"bill_length_mm": 40.1, "body_mass_g": 4300.0},
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "ssh", "ssh-keygen"),
]

_spec = spec_from_file_location("load", HERE / "load.py")
load = module_from_spec(_spec)
_spec.loader.exec_module(load)
Load = load.Load


def version_of(path):
    return short(open_bundle(path).digest)


@pytest.fixture(scope="session")
def typed(vps):
    """Return a function that types a command, in a process of its own: its exit code, and what it printed."""

    def run(*arguments, said=None, address=None):
        done = subprocess.run(
            command(*arguments), env=environ(vps, address), input=said, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


def command(*arguments):
    return [sys.executable, "-P", "-m", "aweigh", *map(str, arguments)]


def environ(vps, address=None):
    more = {"AWEIGH_SSH_CONFIG": str(vps.config), "AWEIGH_SSH_HOST": address or vps.address}
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), **more}


@pytest.fixture(scope="session")
def live(vps, typed):
    """Have the first release live: nobody is asked to sign in, so that a plain client can be the witness."""
    code, out, err = typed(
        "deploy", "ssh", ONNX, "--app", APP, "--auth", "none", "--no-ui", "--port", PORT, "--memory", "512M"
    )
    assert code == 0, out + err
    assert "12 golden rows agree with the original" in out
    return out


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return a function that makes a folder with the same packages, so that only its files are new."""
    release = release_of(ONNX, name=APP, wishes=Wishes(auth="none", ui=False))

    def make(web, **files):
        made = tmp_path_factory.mktemp("folder")
        for name, content in release.files.items():
            (made / name).parent.mkdir(exist_ok=True)
            (made / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        (made / "requirements.txt").write_text(release.requirements)
        (made / ".python-version").write_text(f"{release.python}\n")
        (made / "Procfile").write_text(f"web: {web}\n")
        for name, content in files.items():
            (made / name).write_bytes(content)
        return made

    return make


def status(typed):
    code, out, err = typed("status", "ssh", "--app", APP, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.shows("ssh", "deploy", "status", "releases", "rollback", "scale", "config", "golden rows", how="real run")
def test_new_releases_back_and_scaling_under_load_fail_nobody(live, typed, vps):
    first, second = version_of(ONNX), version_of(NATIVE)
    with Load(PORT, ROWS) as clients:
        clients.wait_for(first)
        for words, seen in (
            (("deploy", "ssh", NATIVE, "--auth", "none", "--no-ui"), second),
            (("rollback", "ssh"), first),
            (("scale", "ssh", "web=2"), first),
            (("config", "ssh", "AWEIGH_SWEEPS=off"), first),
            (("scale", "ssh", "web=1"), first),
        ):
            clients.versions.clear()
            code, out, err = typed(*words, "--app", APP)
            assert code == 0, out + err
            clients.versions.clear()
            clients.wait_for(seen)
    assert clients.failures == []
    assert sum(clients.statuses.values()) > 1000
    assert clients.slowest_s < 5
    code, out, _ = typed("releases", "ssh", "--app", APP, "--json")
    listed = json.loads(out)["releases"]
    assert [one["bundle"] for one in listed][-3:] == [first, second, first]
    assert status(typed)["bundle"] == first


def test_doctor_says_what_the_host_has_and_runs_the_bundle_in_the_memory_that_it_would_get(typed, vps):
    code, out, err = typed("doctor", ONNX, "--target", "ssh", "--memory", "512M", "--json")
    found = {one["code"]: one for one in json.loads(out)["findings"]}
    assert code == 0, err
    assert {one["level"] for one in found.values()} == {"pass"}
    assert "systemd 252" in found["host"]["what"]
    assert "--memory 512M has 512 MB" in found["memory"]["what"]
    code, out, _ = typed("doctor", ONNX, "--target", "ssh", "--memory", "128M", "--no-measure", "--python", "none")
    assert code == 1
    assert "the release needs" in " ".join(out.split())


def test_the_same_again_changes_nothing(live, typed, folder):
    made = folder(SERVE, again=b"1")
    arguments = ("deploy", "ssh", made, "--app", APP, "--auth", "none", "--json")
    code, out, err = typed(*arguments)
    assert code == 0, err
    assert "the same as an earlier release's" in err
    code, again, err = typed(*arguments)
    assert code == 0, err
    assert json.loads(again) == json.loads(out) | {"changed": False}


@pytest.mark.parametrize(
    ("web", "said"),
    [
        ("echo not today >&2; exit 3", "does not come up: not today"),
        (f"echo aweigh serve mass.aweigh >/dev/null; exec {SERVE}", "answers a golden row with the status 422"),
    ],
    ids=["dies", "answers differently"],
)  # fmt: skip
def test_a_release_that_is_wrong_never_reaches_anybody(live, typed, folder, vps, web, said):
    before = status(typed)
    made = folder(web, **{"mass.aweigh": NATIVE.read_bytes()})
    with Load(PORT, ROWS) as clients:
        clients.wait_for(before["bundle"])
        code, _, err = typed("deploy", "ssh", made, "--app", APP)
    assert code == 4
    assert said in err
    assert "runs on, untouched" in err
    assert clients.failures == []
    assert set(clients.versions) == {before["bundle"]}
    assert status(typed) == before
    assert vps.sh(f"systemctl list-units --no-legend --plain 'aweigh-{APP}.*'").count("\n") == 1


def test_cut_off_anywhere_the_next_run_goes_on(live, typed, folder, vps):
    with Load(PORT, ROWS) as clients:
        for number, stage in enumerate(("host", "settings", "files", "packages", "start", "answers", "switch")):
            made = folder(SERVE, cut=b"%d" % number)
            words = command("deploy", "ssh", made, "--app", APP, "--auth", "none")
            with subprocess.Popen(words, env=environ(vps), stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout:
                    if line.split()[:1] == [stage]:
                        break
                process.send_signal(signal.SIGKILL)
            code, out, err = typed("deploy", "ssh", made, "--app", APP, "--auth", "none", "--json")
            assert code == 0, f"after {stage}: {err}"
            found = status(typed)
            assert (found["state"], found["release"]) == ("up", json.loads(out)["release"]), stage
    assert clients.failures == []
    assert vps.sh(f"systemctl list-units --no-legend --plain 'aweigh-{APP}.*'").count("\n") == 1
    assert len(vps.sh(f"ls /opt/aweigh/{APP}/releases").split()) <= 6


def test_two_at_once_and_the_second_is_refused(live, typed, folder, vps):
    with subprocess.Popen(
        ["ssh", "-F", str(vps.config), "-p", str(vps.port), "root@127.0.0.1",
         f"flock /opt/aweigh/{APP}/shared/lock sh -c 'echo held; exec cat'"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == b"held\n"
        code, _, err = typed("deploy", "ssh", folder(SERVE), "--app", APP, "--auth", "none")
        assert code == 4
        assert "Somebody else is deploying this app" in err
        holder.stdin.close()


def test_the_units_are_shut_in_and_the_host_starts_the_right_one(live, vps):
    unit = vps.sh(f"systemctl list-units --no-legend --plain 'aweigh-{APP}.web.*'").split()[0]
    said = vps.sh(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
    assert float(said.split(": ")[1].split()[0]) <= 1.5
    assert vps.sh(f"systemctl show -P MemoryMax {unit}").strip() == str(512 * 2**20)
    enabled = vps.sh(f"ls /etc/systemd/system/multi-user.target.wants | grep aweigh-{APP}").split()
    assert enabled == [unit]
    assert vps.sh(f"stat -c '%a %U' /opt/aweigh/{APP}/shared/env /var/lib/aweigh/{APP}").split() == [
        "600", "root", "700", f"aweigh-{APP}",
    ]  # fmt: skip
    assert vps.sh(f"find /opt/aweigh/{APP}/releases /opt/aweigh/{APP}/venvs -user aweigh-{APP}") == ""


def _is_ready():
    with suppress(OSError, http.client.HTTPException), closing(http.client.HTTPConnection("127.0.0.1", PORT)) as asked:
        asked.request("GET", "/health/ready")
        answer = asked.getresponse()
        answer.read()
        return answer.status == 200
    return False


WATCH = """
[Unit]
Wants=aweigh-penguins.web.a@0.service aweigh-penguins.web.b@0.service
[Service]
ExecStart=sleep infinity
"""
"""By a unit that names others they are remembered, when they are gone, too."""


def test_after_a_reboot_the_app_is_there_and_units_that_are_gone_stop_no_change(live, typed, vps):
    before = status(typed)["release"]
    vps.reboot()
    end = time.monotonic() + 120
    while not _is_ready() and time.monotonic() < end:
        time.sleep(0.2)
    assert status(typed)["release"] == before
    (vps.root / "etc/systemd/system/watch.service").write_text(WATCH)
    vps.sh("systemctl daemon-reload; systemctl start watch")
    for memory in ("600M", "512M", "600M"):
        code, out, err = typed("scale", "ssh", "1", "--memory", memory, "--app", APP)
        assert code == 0, out + err


def test_caddy_is_administered_by_root_alone(live, typed, vps, folder):
    for port in (2019, 80):
        with socket.socket() as taken:
            if taken.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} of this machine, whose network the host shares, is taken")
    before = vps.sh("cat /etc/caddy/Caddyfile")
    (vps.root / "etc/caddy/Caddyfile").write_text("# the host's own\n:18098 {\n\trespond own\n}\n")
    vps.sh("systemctl restart caddy")
    ask = "runuser -u nobody -- python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 2019))'"
    open_socket = (
        "runuser -u nobody -- python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("
        '"/var/lib/caddy/admin.sock")\' 2>&1'
    )
    vps.sh(ask)
    try:
        code, out, err = typed("deploy", "ssh", folder(SERVE, shut=b"1"), "--app", "shut", "--auth", "none",
                               "--port", PORT + 5)  # fmt: skip
        assert code == 0, out + err
        assert "is administered at /var/lib/caddy/admin.sock" in out
        with pytest.raises(AssertionError, match="refused"):
            vps.sh(ask)
        assert "Permission denied" in vps.sh(open_socket, check=False)
        # It is so after Caddy died, too, and a file that was changed and not taken is taken by the next run.
        vps.sh("kill -9 $(systemctl show -P MainPID caddy); sleep 0.5; systemctl restart caddy; systemctl reload caddy")
        vps.sh(
            "cp /etc/caddy/Caddyfile /etc/caddy/shut; sed -i 1,3d /etc/caddy/Caddyfile; systemctl restart caddy; "
            "rm -f /var/lib/caddy/admin.sock; cp /etc/caddy/shut /etc/caddy/Caddyfile; rm /opt/aweigh/shut/shared/site"
        )
        code, out, err = typed("deploy", "ssh", folder(SERVE, shut=b"2"), "--app", "shut", "--auth", "none")
        assert code == 0, out + err
        with pytest.raises(AssertionError, match="refused"):
            vps.sh(ask)
    finally:
        typed("destroy", "ssh", "--app", "shut", "--yes")
        (vps.root / "etc/caddy/Caddyfile").write_text(before)
        vps.sh("systemctl restart caddy")


def test_what_is_half_there_can_be_destroyed(typed, vps):
    vps.sh("mkdir -p /opt/aweigh/half")
    code, out, err = typed("destroy", "ssh", "--app", "half", "--yes")
    assert code == 0, out + err
    assert vps.sh("ls -d /opt/aweigh/half 2>&1", check=False).count("No such file") == 1


def test_settings_are_read_back_as_they_were_written(live, typed, vps):
    value = """a "b" \\ $HOME `id` %n %% ; 'c' é # d=e"""
    code, out, err = typed("config", "ssh", "--app", APP, "--secret", "ODD_ONE", said=f"{value}\n")
    assert code == 0, out + err
    assert value not in out + err
    read = vps.sh(
        f"systemd-run --quiet --wait --collect --pipe -p EnvironmentFile=/opt/aweigh/{APP}/shared/env "
        "python3 -I -c 'import os; print(os.environ[\"ODD_ONE\"])'"
    )
    assert read == f"{value}\n"
    code, out, _ = typed("config", "ssh", "--app", APP, "--unset", "ODD_ONE", "--json")
    assert "ODD_ONE" not in json.loads(out)["config"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_slot_that_was_begun_is_told_of_or_cleared(live, typed, folder, vps, how):
    words = command("deploy", "ssh", folder("sleep 1000", begun=b"1"), "--app", APP, "--auth", "none")
    with subprocess.Popen(words, env=environ(vps), stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.split()[:1] == ["start"]:
                break
        process.send_signal(how)
    told = any("runs beside it" in one for one in status(typed)["notes"])
    running = vps.sh(f"systemctl list-units --no-legend --plain 'aweigh-{APP}.*'").count("\n")
    assert (told, running) == ((True, 2) if how == signal.SIGKILL else (False, 1))


def test_settings_that_a_release_does_not_come_up_with_are_put_back(live, typed, vps):
    before = vps.sh(f"cat /opt/aweigh/{APP}/shared/env")
    code, _, err = typed("config", "ssh", "--app", APP, "AWEIGH_PROXIES=many")
    assert code == 4
    assert "does not come up" in err
    assert vps.sh(f"cat /opt/aweigh/{APP}/shared/env") == before
    assert status(typed)["state"] == "up"


def test_a_site_that_caddy_was_not_told_of_is_told_by_the_next_run(live, typed, folder, vps):
    made = folder(SERVE, told=b"1")
    assert typed("deploy", "ssh", made, "--app", APP, "--auth", "none")[0] == 0
    vps.sh(f"rm /opt/aweigh/{APP}/shared/site")
    made = folder(SERVE, told=b"2")
    code, out, err = typed("deploy", "ssh", made, "--app", APP, "--auth", "none")
    assert code == 0, out + err
    assert "knows the app by" in out


@pytest.mark.shows("ssh", "logs", "destroy", how="real run")
def test_a_door_lets_the_deployment_in_and_the_first_administrator(typed, vps):
    code, out, err = typed("deploy", "ssh", ONNX, "--app", "door", "--no-ui", "--port", PORT + 1)
    assert code == 0, out + err
    assert "12 golden rows agree" in out
    assert "made up there: AWEIGH_DEPLOY_SECRET" in out
    secret = vps.sh("cut -d= -f2 /opt/aweigh/door/shared/env").strip()
    assert len(secret) == 64
    assert secret not in out + err
    path = next(line for line in out.splitlines() if "/invite/" in line).strip().partition(f":{PORT + 1}")[2]
    connection = http.client.HTTPConnection("127.0.0.1", PORT + 1, timeout=30)
    connection.request("GET", path)
    assert connection.getresponse().status == 200
    connection.close()
    _, log, _ = typed("logs", "ssh", "--app", "door")
    assert "/invite/(withheld)" in log
    assert path not in log
    assert typed("destroy", "ssh", "--app", "door", "--yes")[0] == 0
    assert typed("status", "ssh", "--app", "door")[0] == 1
    assert vps.sh("ls -d /opt/aweigh/door /var/lib/aweigh/door /etc/caddy/aweigh/door.caddy 2>&1; id aweigh-door 2>&1; "
                  "ls /etc/systemd/system | grep -c aweigh-door", check=False).count("No such file") == 3  # fmt: skip


def test_another_user_needs_sudo_without_a_password(live, typed, vps):
    vps.sh(
        "useradd -m -s /bin/bash olga && install -d -o olga -m 700 ~olga/.ssh && "
        "install -o olga -m 600 ~/.ssh/authorized_keys ~olga/.ssh/authorized_keys"
    )
    address = vps.address.replace("root@", "olga@")
    code, _, err = typed("status", "ssh", "--app", APP, address=address)
    assert code == 4
    assert "may not act as root without a password" in err
    vps.sh("echo 'olga ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/olga")
    assert typed("status", "ssh", "--app", APP, address=address)[0] == 0


def test_what_a_host_lacks_is_said_before_anything_is_changed(live, typed, vps, folder):
    made = folder(SERVE, lacks=b"1")

    def said():
        code, out, err = typed("deploy", "ssh", made, "--app", "lacking", "--auth", "none", "--check")
        assert code == 1, out + err
        assert vps.sh("ls /opt/aweigh").split() == [APP]
        return out

    vps.sh("systemctl stop caddy")
    try:
        assert "Caddy does not run on" in said()
        vps.sh("mv /usr/bin/caddy /usr/bin/caddy.away")
        assert "no Caddy" in said()
    finally:
        vps.sh(
            "mv /usr/bin/caddy.away /usr/bin/caddy; systemctl reset-failed caddy; systemctl start caddy", check=False
        )
    ensurepip = vps.sh("python3 -c 'import ensurepip, os; print(os.path.dirname(ensurepip.__file__))'").strip()
    vps.sh(f"mv {ensurepip} {ensurepip}.away")
    try:
        assert "makes no environments" in said()
    finally:
        vps.sh(f"mv {ensurepip}.away {ensurepip}")
    (made / ".python-version").write_text("3.12\n")
    assert "and the release needs 3.12" in said()
    (made / ".python-version").write_text("3.11\n")
    vps.sh("mount -t tmpfs -o size=40M none /opt/aweigh")
    try:
        code, out, _ = typed("deploy", "ssh", made, "--app", "lacking", "--auth", "none", "--check")
        assert code == 1
        assert "MB left" in out
    finally:
        vps.sh("umount /opt/aweigh")


def test_a_port_that_is_taken_is_refused_and_what_ran_runs_on(live, typed, vps, folder):
    vps.sh("systemd-run --unit=squatter --quiet python3 -m http.server 18099")
    try:
        code, _, err = typed("deploy", "ssh", folder(SERVE, taken=b"1"), "--app", "second", "--auth", "none",
                               "--port", 18099)  # fmt: skip
        assert code == 4
        assert "Another program than Caddy listens at port 18099" in err
        assert "/opt/aweigh/second/venvs/" not in vps.sh("ls -d /opt/aweigh/second/venvs/*", check=False)
        code, out, _ = typed("deploy", "ssh", folder(SERVE, taken=b"2"), "--app", "second", "--auth", "none",
                               "--port", PORT, "--check")  # fmt: skip
        assert code == 1
        assert f"is the app {APP}'s" in out
        assert status(typed)["state"] == "up"
    finally:
        vps.sh("systemctl stop squatter", check=False)
        assert typed("destroy", "ssh", "--app", "second", "--yes")[0] == 0


def test_a_page_is_shown_through_caddy_and_its_session_is_a_websocket(typed):
    code, out, err = typed(
        "deploy", "ssh", ONNX, "--app", "pages", "--auth", "none", "--port", PORT + 2, "--replicas", 2
    )
    assert code == 0, out + err
    page = StreamlitPage(f"http://127.0.0.1:{PORT + 2}")
    try:
        page.connect()
        assert page.session
        assert "aweigh_replica" in page.cookies
    finally:
        page.close()
    assert typed("destroy", "ssh", "--app", "pages", "--yes")[0] == 0


AUTHORITY = """\
{
\tadmin off
\tstorage file_system /srv/acme/data
\thttp_port 18082
\thttps_port 18444
\tskip_install_trust
}
localhost:18444 {
\ttls internal
\tacme_server
}
"""
IN_FRONT = """\
{
\tadmin unix//var/lib/caddy/admin.sock
\tacme_ca https://localhost:18444/acme/local/directory
\tacme_ca_root /etc/caddy/root.crt
}
import /etc/caddy/aweigh/*.caddy
"""
CERTIFIED = "/srv/acme/data/pki/authorities/local/root.crt"


@pytest.mark.needs("curl")
def test_a_domain_gets_its_certificate_from_an_authority(typed, vps, folder):
    """The authority is a second Caddy on the host, which asks at port 80 as a public one would."""
    for port in (80, 443):
        with socket.socket() as taken:
            if taken.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} of this machine, whose network the host shares, is taken")
    (vps.root / "srv/acme").mkdir()
    (vps.root / "srv/acme/Caddyfile").write_text(AUTHORITY)
    vps.sh("systemd-run --unit=acme --quiet caddy run --config /srv/acme/Caddyfile --adapter caddyfile")
    vps.sh(
        f"for i in $(seq 200); do [ -f {CERTIFIED} ] && break; sleep 0.1; done; "
        f"install -m 644 {CERTIFIED} /etc/caddy/root.crt"
    )
    (vps.root / "etc/caddy/Caddyfile").write_text(IN_FRONT)
    code, out, err = typed(
        "deploy", "ssh", folder(SERVE, tls=b"1"), "--app", "secure", "--auth", "none", "--domain", "app.example.com"
    )
    assert code == 0, out + err
    assert "is not reached at https://app.example.com yet, as seen from here" in out
    asked = [
        "curl", "-sS", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "-D", "-",
        "--cacert", str(vps.root / "etc/caddy/root.crt"), "--connect-to", "app.example.com:443:127.0.0.1:443",
        "https://app.example.com/health/ready",
    ]  # fmt: skip
    done = subprocess.run(asked, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr + vps.sh("journalctl -u caddy -n 30 --no-pager -o cat")
    assert '"status":"ready"' in done.stdout.replace(" ", "")
    assert "strict-transport-security: max-age=31536000" in done.stdout.lower()
    assert "\nserver:" not in done.stdout.lower()
    assert typed("destroy", "ssh", "--app", "secure", "--yes")[0] == 0
