"""The system's own ssh against a real sshd on the loopback, which has no systemd behind it."""

import getpass
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.partly import slow_but_for
from tests.sshd_server import open_sshd

from aweigh.__main__ import main
from aweigh.errors import RemoteError, UsageError
from aweigh.secret import Secret
from aweigh.targets.errors import Occupied
from aweigh.targets.live import get
from aweigh.targets.ssh import after, front, install, place
from aweigh.targets.ssh import deploy as deploying
from aweigh.targets.ssh.command import CHANGE, MADE_UP, POINT, WRITE, Command, shell, taken_site, write
from aweigh.targets.ssh.deploy import free_base, is_open, own_base
from aweigh.targets.ssh.errors import HostRefused, HostSilent, HostUnfit
from aweigh.targets.ssh.facts import ask_all, faults, probe, read_facts
from aweigh.targets.ssh.front import CERTIFICATE_S, check_address, unreached
from aweigh.targets.ssh.going import Going
from aweigh.targets.ssh.install import KEEP, UNPACK
from aweigh.targets.ssh.kept import Kept, Place
from aweigh.targets.ssh.live import look
from aweigh.targets.ssh.place import Address, Paths
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.site import render_site
from aweigh.targets.ssh.telling import Patience, Telling

pytestmark = pytest.mark.needs("ssh", "ssh-keygen")
ROOT = Path(__file__).parents[2]
PLACE = Place(app="penguins", base=20_040)
KEPT = Kept(name="penguins", python="3.11", processes={"web": "aweigh serve p.aweigh --auth none"})
ODD = [
    "a b",
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "'",
    '"',
    "\\",
    "a\nb",
    "%h",
    "*",
    "~",
    "-e",
    "",
    "é\u2028",
    "!!",
]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """Run an sshd of one's own; return its port and the folder with the keys and configurations."""
    folder = tmp_path_factory.mktemp("sshd")
    with open_sshd(folder) as port:
        yield port, folder


def host_at(sshd, config="good", **more):
    port, folder = sshd
    address = Address("127.0.0.1", getpass.getuser(), more.pop("port", port))
    return Host(address, config=folder / config, **more)


@pytest.fixture(scope="module")
def host(sshd):
    with host_at(sshd) as found:
        found._sudo = ()  # this machine's root is nobody's business here
        yield found


@pytest.mark.parametrize("odd", slow_but_for(ODD, "$(touch pwned)", "'", "a\nb", "-e", "", "é\u2028"))
def test_an_argument_arrives_as_it_was(host, odd, tmp_path):
    program = "import sys; sys.stdout.buffer.write(sys.argv[1].encode('utf-8', 'surrogateescape'))"
    done = host.run(Command("print", (sys.executable, "-I", "-c", program, odd)))
    assert done.out.decode() == odd
    path = tmp_path / "file"
    host.run(shell("write", WRITE, str(path), "640", str(len(odd.encode())), stdin=odd.encode()))
    assert (path.read_text(), path.stat().st_mode & 0o777) == (odd, 0o640)
    assert not Path("pwned").exists()


def test_a_file_is_there_whole_or_not_at_all(host, tmp_path):
    path = tmp_path / "new" / "file"
    content = os.urandom(3_000_000)
    host.run(write(str(path), content, mode="600"))
    assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == ["file"]
    source = tmp_path / "source"
    source.write_bytes(content)
    assert host.run(Command("count", ("wc", "-c"), stdin=source)).text.strip() == "3000000"


@pytest.mark.parametrize("sent", [b"", b"short"])
def test_what_was_cut_off_takes_nobodys_place(host, sent, tmp_path):
    path = tmp_path / "file"
    path.write_text("A=1\n")
    for script, more in ((WRITE, ("600",)), (CHANGE, ("A",))):
        with pytest.raises(HostRefused, match="what arrived was cut off"):
            host.run(shell("write", script, str(path), *more, "12", stdin=sent))
    assert path.read_text() == "A=1\n"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_secrets_are_made_up_there_and_changed_one_by_one(host, tmp_path):
    path = tmp_path / "env"
    for _ in range(2):
        host.run(shell("make up", MADE_UP, "A", str(path)))
    made = path.read_text()
    assert len(made) == 67
    host.run(shell("change", CHANGE, str(path), "B|C", "12", stdin=Secret('B="1"\nC="2"\n')))
    host.run(shell("change", CHANGE, str(path), "B", "0", stdin=Secret("")))
    assert path.read_text() == f'{made}C="2"\n'
    path.write_text('C="2"')
    host.run(shell("make up", MADE_UP, "A", str(path)))
    assert path.read_text().startswith('C="2"\nA=')
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_arrives_otherwise_than_it_was_sent_is_refused(host, tmp_path):
    with pytest.raises(HostRefused, match="not what was sent"):
        host.run(shell("take the files", UNPACK, str(tmp_path / "release"), "0" * 64, stdin=b"cut off"))
    assert not list(tmp_path.glob("*.gz"))


def test_a_command_that_fails_says_what_it_was_for(host):
    with pytest.raises(HostRefused, match=r"(?m)^The host could not look: .*No such file or directory\.$"):
        host.run(Command("look", ("ls", "/nowhere/at/all")))
    with pytest.raises(HostUnfit, match=r"disk of .* is full"):
        host.run(shell("write", 'echo "tee: x: No space left on device" >&2; exit 1'))
    with pytest.raises(HostUnfit, match="without a password"):
        host.run(shell("act", 'echo "sudo: a password is required" >&2; exit 1'))
    with pytest.raises(HostSilent, match="within 0 s"):
        host.attempt(Command("wait", ("sleep", "20")), timeout_s=0.2)


def test_a_host_that_does_not_stop_talking_fills_no_memory(host):
    with pytest.raises(RemoteError, match="does not stop talking"):
        host.run(Command("talk", ("yes",)))
    with pytest.raises(RemoteError, match="does not stop talking"):
        host.run(shell("talk", "exec yes >&2"))
    reading = host.lines(Command("talk", ("head", "-c", "200000", "/dev/zero")))
    assert max(map(len, reading)) < 100_000


def test_a_shell_that_greets_is_told_so_and_nothing_hangs(tmp_path):
    greets = """sh -c 'echo hello; exec sh -c "$SSH_ORIGINAL_COMMAND"'"""
    with open_sshd(tmp_path, forced=greets) as port:
        found = host_at((port, tmp_path))
        with pytest.raises(HostUnfit, match="prints something of its own"), found:
            pass
    (tmp_path / "other").mkdir()
    with open_sshd(tmp_path / "other", forced=greets) as port, pytest.raises(HostRefused):
        found = host_at((port, tmp_path / "other"))
        found._folder = str(tmp_path)
        with found.locked(str(tmp_path / "lock")):
            pass


def test_what_a_configuration_does_at_each_login_is_left_out(sshd, host, free_port, tmp_path):
    port, folder = sshd
    taken = free_port()
    more = f"  RemoteCommand echo hello\n  LocalForward {taken} 127.0.0.1:{port}\n  ExitOnForwardFailure yes\n"
    (folder / "busy").write_text((folder / "good").read_text() + more)
    with socket.create_server(("127.0.0.1", taken)), host_at(sshd, "busy") as found:
        assert found.run(Command("say", ("echo", "said"), root=False)).text == "said\n"
        with found.reached(port) as url:
            assert url


@pytest.mark.slow
def test_a_lock_whose_holder_is_not_heard_of_is_let_go(host, tmp_path, monkeypatch):
    monkeypatch.setattr("aweigh.targets.ssh.runner.SILENCE_S", 1)
    path = str(tmp_path / "lock")
    wait = Command("wait", ("sleep", "2.5"))
    monkeypatch.setattr(host, "sign_s", 0.2)
    with host.locked(path):
        host.run(wait)
        with pytest.raises(Occupied, match="Somebody else"), host.locked(path):
            pass
    monkeypatch.setattr(host, "sign_s", 60)
    with pytest.raises(Occupied, match="was lost"), host.locked(path):
        host.run(wait)
        host.run(wait)
    with host.locked(path):
        pass


def test_a_port_of_the_hosts_loopback_is_reached(host):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with host.reached(server.server_address[1]) as url:
                assert get(url, "/").status == 200
            assert get(url, "/") is None
        finally:
            server.shutdown()
            thread.join()


def test_a_lock_is_one_persons_and_ends_with_them(sshd, host, tmp_path):
    path = str(tmp_path / "lock")
    with host.locked(path), pytest.raises(Occupied), host.locked(path):
        pass
    program = (
        "import sys; from pathlib import Path; from aweigh.targets.ssh.runner import Host\n"
        "from aweigh.targets.ssh.place import Address\n"
        f"address = Address('127.0.0.1', {getpass.getuser()!r}, {sshd[0]})\n"
        f"with Host(address, config=Path({str(sshd[1] / 'good')!r})) as host:\n"
        "  host._sudo = ()\n"
        f"  with host.locked({path!r}):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Occupied), host.locked(path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    end = time.monotonic() + 20
    while True:
        try:
            with host.locked(path):
                break
        except Occupied:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("config", "said", "fix"),
    [
        ("unknown", "is not known here", "/unknown -p "),
        ("moved", "another key than it did before", "ssh-keygen -R '[127.0.0.1]:"),
        ("stranger", "does not let this user in", "ssh-copy-id -p "),
    ],
)
def test_who_cannot_come_in_is_told_why(sshd, config, said, fix):
    with pytest.raises(HostSilent, match=said) as caught, host_at(sshd, config):
        pass
    assert fix in caught.value.hint


def test_nobody_there(sshd, free_port):
    with pytest.raises(HostSilent, match="nothing answers"), host_at(sshd, port=free_port()):
        pass
    with pytest.raises(HostSilent, match="Nobody knows a host"), Host(Address("no-such-host.invalid")):
        pass
    with pytest.raises(UsageError, match="no ssh on this machine"), host_at(sshd, ssh="no-such-ssh"):
        pass


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Return the names of an app whose folder is a test's own."""
    monkeypatch.setattr(place, "ROOT", str(tmp_path))
    monkeypatch.setattr(place, "SITES", str(tmp_path))
    paths = Paths("penguins")
    for name in ("live", "shared"):
        Path(paths.root, name).mkdir(parents=True)
    return paths


def test_what_lies_damaged_on_a_host_is_not_taken_for_nothing(host, app):
    Path(app.marker("b", 2)).touch()
    Path(app.slot("b")).write_text('{"release": "x')
    Path(app.slot("a")).write_text('{"release": "0123456789ab", "replicas": {"web": 1}}')
    found = look(host, app)
    assert (found.live, found.web, found.running, set(found.slots)) == ("b", 2, None, {"a"})
    for damaged in ('{"app": "penguins", "ba', '{"app": "other", "base": 20000}', '{"app": "penguins", "base": 22}'):
        Path(app.place).write_text(damaged)
        with pytest.raises(RemoteError) as caught:
            look(host, app)
        assert app.place in caught.value.message
        assert "take that file away" in caught.value.hint


def test_a_site_that_caddy_was_not_told_of_is_none_yet(host, app):
    Path(app.site).write_text("a {\n}\n")
    assert look(host, app).site == ""
    host.run(taken_site(app))
    assert look(host, app).site == "a {}"
    Path(app.site).write_text("b {\n}\n")
    assert look(host, app).site == ""


def test_a_version_keeps_its_number_however_many_there_are(host, app):
    Path(app.history).write_text("".join(f"{i:012x} - 1700000000\n" for i in range(1, 1201)))
    last = look(host, app).history[-1]
    assert (last.label, last.release) == ("v1200", f"{1200:012x}")


def test_of_an_app_that_is_not_there_no_log_is_read(host):
    with pytest.raises(UsageError, match="There is no app 'nobody'"):
        list(after.log(host, "nobody", lines=5))


STAND_IN = """#!/bin/sh
echo "$* | $(ls $LIVE | tr '\\n' ' ')" >> "$LOG"
[ -z "$FAILS" ]
"""
"""Writes down what was there when the disk was asked to keep it."""


@pytest.mark.parametrize("fails", ["", "1"], ids=["kept", "refused"])
def test_people_are_sent_only_to_what_is_on_the_disk(tmp_path, fails):
    live, log = tmp_path / "live", tmp_path / "log"
    live.mkdir()
    (live / "a1").touch()
    (tmp_path / "sync").write_text(STAND_IN)
    (tmp_path / "sync").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LIVE": str(live), "LOG": str(log), "FAILS": fails}
    done = subprocess.run(["sh", "-c", POINT, "sh", live, "b1", tmp_path, tmp_path / "none"], env=environ, check=False)
    if fails:
        assert done.returncode != 0
        assert [one.name for one in live.iterdir()] == ["a1"]
    else:
        assert log.read_text().splitlines() == [f"-f {tmp_path} | a1 ", f"-f {live} | a1 b1 ", f"-f {live} | b1 "]


UNREACHED = (
    b"WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken "
    b"by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7f9b>: Failed to establish a "
    b"new connection: [Errno 111] Connection refused')': /simple/anyio/\n"
)
MISSING = b"ERROR: No matching distribution found for anyio==4.16.0\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (UNREACHED + UNREACHED + MISSING, "does not reach its package index: Connection refused[.]"),
        (MISSING, "could not install the requirements: ERROR: No matching distribution"),
        (UNREACHED + b"ERROR: [Errno 28] No space left on device\n", "disk .* is full"),
    ],
)
def test_an_index_that_is_not_reached_is_told_as_that(host, said, told):
    with pytest.raises(RemoteError, match=told):
        install.run_step(host, shell("install the requirements", "cat >&2; exit 1", stdin=said))


def test_a_name_that_leads_nowhere_is_told_of_and_not_waited_for(host):
    there = msgspec.structs.replace(PLACE, domain="nobody.invalid")
    going = Going(host, Paths("penguins"), there, KEPT, "0" * 12, None, 252, Telling(), Patience())
    started = time.monotonic()
    assert "https://nobody.invalid yet, as seen from here: the name is not known" in unreached(going)
    assert time.monotonic() - started < CERTIFICATE_S
    assert unreached(replace(going, place=PLACE)) is None


def test_a_port_is_free_or_it_is_said_who_has_it(host, tmp_path, monkeypatch):
    sites = tmp_path / "sites"
    monkeypatch.setattr(front, "SITES", str(sites))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        place = msgspec.structs.replace(PLACE, port=port)
        check_address(host, place)
        listening.listen()
        with pytest.raises(HostUnfit, match=f"Another program than Caddy listens at port {port}"):
            check_address(host, place)
    sites.mkdir()
    (sites / "penguins.caddy").write_bytes(render_site(place))
    check_address(host, place)
    (sites / "other.caddy").write_bytes(render_site(msgspec.structs.replace(place, app="other", base=20_080)))
    with pytest.raises(HostUnfit, match=f"Port {port} of .* is the app other's"):
        check_address(host, place)
    named = msgspec.structs.replace(place, app="other", base=20_080, domain="app.example.org")
    (sites / "other.caddy").write_bytes(render_site(named))
    with pytest.raises(HostUnfit, match=r"app[.]example[.]org is the app other's"):
        check_address(host, msgspec.structs.replace(place, domain="app.example.org"))


def test_two_first_deployments_at_once_get_ports_of_their_own(host, app, monkeypatch):
    monkeypatch.setattr(deploying, "ROOT", place.ROOT)
    others = [Paths(name) for name in ("one", "two")]
    for one in others:
        Path(one.root, "shared").mkdir(parents=True)
    free = free_base(host)
    # The second looks before the first has said what it takes.
    said = iter([free, free, free + 20, free + 40])
    monkeypatch.setattr(deploying, "free_base", lambda _: next(said))
    assert own_base(host, others[0]) == free
    assert own_base(host, others[1]) == free + 20
    assert own_base(host, others[1]) == free + 20


@pytest.mark.parametrize(
    ("address", "seen"),
    [("127.0.0.1", False), ("::1", False), ("::ffff:127.0.0.1", False), ("0.0.0.0", True), ("::", True)],
)
def test_who_listens_past_caddy_is_seen(host, address, seen):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listening:
        try:
            listening.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listening.listen()
        assert is_open(host, listening.getsockname()[1]) is seen


def test_a_users_path_without_sbin_hides_no_programs(host):
    found = host.run(Command("look", ("env", "PATH=/usr/bin:/bin", *probe("3.11", folder="/").argv), root=False))
    assert {"useradd", "runuser"} <= read_facts(found.text).programs


@pytest.mark.skipif(os.getuid() != 0, reason="takes root, as on a host")
def test_an_environment_is_roots_and_readable_whatever_a_package_left_there(host, tmp_path):
    folder, cache, elsewhere = tmp_path / "venv", tmp_path / "cache", tmp_path / "elsewhere"
    for one in (folder / "lib", cache / "pip"):
        one.mkdir(parents=True, mode=0o700)
    (folder / "lib" / "open.py").touch()
    (folder / "lib" / "open.py").chmod(0o666)
    (folder / "lib").chmod(0o700)
    os.chown(folder / "lib" / "open.py", 4711, 4711)
    (folder / "complete").symlink_to(elsewhere)
    (cache / "pip" / "wheel").touch()
    host.run(shell("keep", KEEP, str(folder), str(cache)))
    assert not elsewhere.exists()
    assert (folder / "complete").is_file()
    assert not (folder / "complete").is_symlink()
    found = (folder / "lib" / "open.py").stat()
    assert (found.st_uid, found.st_mode & 0o777, (folder / "lib").stat().st_mode & 0o777) == (0, 0o644, 0o755)
    assert list(cache.iterdir()) == []


def test_a_machine_without_systemd_is_told_so(sshd, host, tmp_path):
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    facts, _ = ask_all(host, python=python, folder=str(tmp_path / "not" / "yet"), named=sys.executable)
    assert facts.free_bytes > 0
    assert facts.python_for(python) is not None
    if not facts.booted:
        assert "does not run systemd" in faults(facts, host="h", python=python)[0].message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"systemd ": "systemd 241"}, "has systemd 241"),
        ({"caddy 2": "caddy "}, "has no Caddy"),
        ({"caddy 2": "caddy 1.0.5"}, "has Caddy 1.0.5"),
        ({"caddy_active": "caddy_active failed"}, "does not run"),
        ({"python ": "python 3.9 /usr/bin/python3"}, "has Python 3.9, and the release needs 3.11"),
        ({"python ": ""}, "has no Python"),
        ({"venv": ""}, "makes no environments"),
        ({"free": "free 1000"}, "has 1 MB left"),
        ({"has flock": ""}, "has no flock"),
        ({"booted": ""}, "does not run systemd"),
    ],
)
def test_each_lack_is_a_sentence_and_a_fix(changes, said):
    good = [
        "systemd 252", "booted yes", "caddy 2.6.2", "caddy_active active", "free 90000000", "machine x86_64",
        *(f"has {one}" for one in "flock tar gzip useradd runuser systemd-run sha256sum".split()),
        "python 3.11 /usr/bin/python3.11", "venv /usr/bin/python3.11",
    ]  # fmt: skip
    assert faults(read_facts("\n".join(good)), host="h", python="3.11.4") == []
    lines = [next((new for old, new in changes.items() if line.startswith(old)), line) for line in good]
    found = faults(read_facts("\n".join(lines)), host="h", python="3.11.4")
    assert said in found[0].message
    assert found[0].hint


def test_what_a_host_says_is_no_more_than_words():
    facts = read_facts("systemd \x1b[2J\ncaddy v2.9999999999999999999\nfree -1\npython\nvenv\n\n=\nfree x")
    assert (facts.systemd, facts.free_bytes) == (0, 0)
    assert faults(facts, host="h", python="3.11")


@pytest.mark.parametrize(
    "words",
    [
        ("status", "ssh", "--app", "Odd Name"),
        ("destroy", "ssh", "--app", "a;b", "--yes"),
        ("logs", "ssh", "--app", "x", "--process", "$(id)"),
        ("scale", "ssh", "web=99", "--app", "x"),
        ("status", "ssh", "--app", "x", "--host", "-oProxyCommand=id"),
    ],
)
def test_what_is_typed_wrongly_is_refused_before_anybody_is_asked(words, monkeypatch, capsys):
    monkeypatch.setenv("AWEIGH_SSH_HOST", "nobody@no-such-host.invalid")
    assert main(list(words)) == 2
    assert capsys.readouterr().err.count("\n") <= 4


def test_a_dry_run_asks_nobody(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("AWEIGH_SSH_HOST", "nobody@no-such-host.invalid")
    bundle = ROOT / "tests" / "bundles" / "format-1-onnx.aweigh"
    words = ["deploy", "ssh", str(bundle), "--app", "dry", "--auth", "none", "--no-ui"]
    assert main([*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    for said in ("ExecStart=/opt/aweigh/dry/releases/", "reverse_proxy 127.0.0.1:20000", "to make the user of the app"):
        assert said in out
    assert main([*words, "--output-dir", str(tmp_path / "out"), "--json"]) == 0
    assert (tmp_path / "out/etc/caddy/aweigh/dry.caddy").is_file()
    assert main([*words, "--output-dir", str(tmp_path / "out")]) == 2
