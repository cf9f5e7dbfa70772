"""The program of the stand-in: ``docker`` and ``docker compose``, as far as a deployment types them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE, PREFIX, *WORDS = sys.argv[1:]
FOLDER = Path(HERE)
SITE = next((Path(PREFIX) / "lib").glob("python3.*/site-packages"))
sys.path.append(str(SITE))  # PyYAML; the interpreter was started without it

STOP_S = 20.0


def say(text: str) -> None:
    """A line of what it answers."""
    sys.stdout.write(f"{text}\n")


def fail(text: str, code: int = 1) -> None:
    sys.stderr.write(text + "\n")
    raise SystemExit(code)


def images() -> dict[str, tuple[Path, dict[str, Any]]]:
    found = {}
    for path in (FOLDER / "images").glob("*/image.json"):
        told = json.loads(path.read_text())
        found[told["name"]] = (path.parent, told)
    return found


def containers() -> dict[str, dict[str, Any]]:
    return {one.stem: json.loads(one.read_text()) for one in (FOLDER / "containers").glob("*.json")}


def keep(name: str, told: dict[str, Any]) -> None:
    (FOLDER / "containers" / f"{name}.json").write_text(json.dumps(told))


def state_of(told: dict[str, Any]) -> dict[str, Any]:
    """Whether its process lives; what it ended with is in a file that its shell wrote."""
    code = Path(told["code"])
    if code.exists():
        return {"Status": "exited", "ExitCode": int(code.read_text() or 0)}
    try:
        os.kill(told["pid"], 0)
    except (ProcessLookupError, TypeError):
        return {"Status": "exited" if told["pid"] else "created", "ExitCode": 0}
    return {"Status": "running", "ExitCode": 0}


def end(name: str) -> None:
    told = containers().get(name)
    if told is None or state_of(told)["Status"] != "running":
        return
    os.killpg(told["pid"], signal.SIGTERM)
    until = time.monotonic() + STOP_S
    # Its shell is gone at once; what it started still has the port, until it has finished what is under way.
    while is_there(told["pid"]) and time.monotonic() < until:
        time.sleep(0.02)
    if is_there(told["pid"]):
        os.killpg(told["pid"], signal.SIGKILL)


def is_there(group: int) -> bool:
    """Whether a process of the group lives."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def start(name: str, service: dict[str, Any], project: Path) -> int:
    """Run a container; its process's number."""
    ports = []
    is_proxy = service["labels"]["io.aweigh.process"] == "proxy"
    if is_proxy:
        ports = [int(service["ports"][0].split(":")[-2]), free_port()]
        program = str(Path(__file__).with_name("proxy_program.py"))
        place, words = FOLDER, [sys.executable, "-I", "-S", program, str(FOLDER), str(project / "live")]
        words += [name.removesuffix("-proxy-1"), *map(str, ports)]
    else:
        place, image = images()[service["image"]]
        words = service.get("command") or image["Config"]["Cmd"]
    if words[0] == "aweigh":
        words = [f"{PREFIX}/bin/python", "-m", "aweigh", *words[1:]]
    environ = {"PATH": f"{PREFIX}/bin:/usr/bin:/bin", "HOME": str(FOLDER), "AWEIGH_STATE_DIR": str(FOLDER / "state")}
    environ |= {"AWEIGH_WORKERS": "1", "AWEIGH_DRAIN_DELAY_S": "0"}  # no test waits for what no proxy looks at
    environ |= {key: one for key, one in os.environ.items() if key == "PYTHONPATH" or key.endswith("_NUM_THREADS")}
    for file in service.get("env_file", []):
        lines = (project / file).read_text().splitlines()
        environ |= dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    environ |= {key: str(one) for key, one in service.get("environment", {}).items()}
    for port in [] if is_proxy else service.get("ports", []):
        environ["PORT"] = port.split(":")[-2]  # no network of its own: it listens where it is published
        ports = [int(environ["PORT"])]
    if service["labels"]["io.aweigh.process"] == "web" and not ports:
        environ["PORT"] = str(free_port())
    log, code = FOLDER / f"{name}.log", FOLDER / f"{name}.code"
    code.unlink(missing_ok=True)
    with log.open("ab") as out:
        shell = ["/bin/sh", "-c", f'"$@"; echo $? > "{code}.part"; mv "{code}.part" "{code}"', "sh", *words]
        process = subprocess.Popen(
            shell, cwd=place, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    told = {"pid": process.pid, "code": str(code), "log": str(log), "service": service}
    keep(name, {**told, "port": int(environ.get("PORT", 0)), "published": ports})
    return process.pid


def free_port() -> int:
    while True:  # below those that the system gives out by itself
        port = 10240 + int.from_bytes(os.urandom(2), "big") % 9760
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until_ready(name: str) -> None:
    """As ``--wait`` does for what has a health check."""
    told = containers()[name]
    while told["port"] and state_of(told)["Status"] == "running":
        try:
            with socket.create_connection(("127.0.0.1", told["port"]), timeout=5) as there:
                there.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if b" 200 " in there.recv(64):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    if told["port"]:
        fail(f"container {name} exited")


def read_documents(files: list[str]) -> dict[str, Any]:
    import yaml

    merged: dict[str, Any] = {}
    for file in files:
        found = yaml.safe_load(Path(file).read_text().replace("$$", "$"))
        for name, service in found.get("services", {}).items():
            merged.setdefault("services", {}).setdefault(name, {}).update(service)
        merged.setdefault("name", found.get("name"))
    return merged


def compose(words: list[str]) -> None:
    files, project = [], ""
    while words and words[0] in {"-f", "-p"}:
        option, value, *words = words
        files, project = ([*files, value], project) if option == "-f" else (files, value)
    verb, *rest = words
    if verb == "version":
        say("Docker Compose version v2.40.0")
        return
    document = read_documents(files)
    mine = {name: told for name, told in containers().items() if name.startswith(f"{project}-")}
    if verb == "up":
        up(document, project, mine, words=rest)
    elif verb in {"stop", "down"}:
        for name in mine:
            end(name)
            if verb == "down":
                (FOLDER / "containers" / f"{name}.json").unlink()
    elif verb == "logs":
        last = int(rest[rest.index("--tail") + 1])
        chosen = rest[-1] if rest[-1] in document["services"] else None
        for name, told in mine.items():
            if chosen is None or name.startswith(f"{project}-{chosen}-"):
                lines = Path(told["log"]).read_text().splitlines()[-last:]
                sys.stdout.write("".join(f"\x1b[2K{name} | {line}\n" for line in lines))
    else:
        fail(f"unknown command: {verb}")


def up(document: dict[str, Any], project: str, mine: dict[str, dict[str, Any]], *, words: list[str]) -> None:
    named = [one for one in words if not one.startswith("-")]
    services = sorted(document["services"].items(), key=lambda one: one[0] != "migrate")
    wanted = {}
    for name, service in services:
        for number in range(1, service.get("deploy", {}).get("replicas", 1) + 1):
            if not named or name in named:
                wanted[f"{project}-{name}-{number}"] = service
    for name in mine.keys() - wanted.keys():
        of = name.removeprefix(f"{project}-").rpartition("-")[0]
        is_orphan = of not in document["services"]
        if ("--remove-orphans" in words) if is_orphan else (not named or of in named):
            end(name)
            (FOLDER / "containers" / f"{name}.json").unlink()
    for name, service in wanted.items():
        told = mine.get(name)
        if told and told["service"] == service and state_of(told)["Status"] == "running":
            continue
        end(name)
        if service["image"] not in images() and service["labels"]["io.aweigh.process"] != "proxy":
            fail(f"Error response from daemon: pull access denied for {service['image']}")
        sys.stderr.write(f" Container {name}  Creating\n")
        start(name, service, Path.cwd())
        if service["restart"] == "no" and not named:
            wait_for_end(name)
    for name in wanted if "--wait" in words else ():
        wait_until_ready(name)


def wait_for_end(name: str) -> None:
    while (state := state_of(containers()[name]))["Status"] == "running":
        time.sleep(0.02)
    if state["ExitCode"]:
        fail(f'service "migrate" didn\'t complete successfully: exit {state["ExitCode"]}')


def load(path: str) -> None:
    """Take in an archive: its index names the image, as containerd's own readers have it."""
    import tarfile

    with tarfile.open(path) as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        told = json.loads(file.read())[0]
        config = json.loads(archive.extractfile(told["Config"]).read())  # type: ignore[union-attr]
    name = told["RepoTags"][0]
    place = FOLDER / "images" / name.replace("/", "_").replace(":", "_")
    place.mkdir()
    kept = {"name": name, "Os": config["os"], "Architecture": config["architecture"], "Config": config["config"]}
    (place / "image.json").write_text(json.dumps(kept))
    say(f"Loaded image: {name}")


def engine(words: list[str]) -> None:
    if words[:1] in (["version"], ["info"]):
        say("linux/amd64")
    elif words[:2] == ["image", "inspect"]:
        found = images().get(words[2])
        say(json.dumps([found[1]])) if found else fail(f"Error: No such image: {words[2]}")
    elif words[:2] == ["image", "rm"]:
        place, _ = images()[words[2]]
        (place / "image.json").unlink()
    elif words[:1] == ["images"]:
        say("\n".join(one for one in images() if one.rpartition(":")[0] == words[-1]))
    elif words[:1] == ["pull"]:
        fail(f"Error response from daemon: manifest unknown: {words[1]}")
    elif words[:1] == ["load"]:
        load(words[2])
    elif words[:1] == ["ps"]:
        key, _, value = words[-1].removeprefix("label=").partition("=")
        say("\n".join(name for name, one in containers().items() if one["service"]["labels"].get(key) == value))
    elif words[:2] == ["container", "inspect"]:
        known = containers()
        say(json.dumps([inspected(name, known[name]) for name in words[2:]]))
    elif words[:1] == ["logs"]:
        sys.stderr.write(Path(containers()[words[-1]]["log"]).read_text())
    elif words[:1] == ["rm"]:
        end(words[-1])
        (FOLDER / "containers" / f"{words[-1]}.json").unlink(missing_ok=True)
    elif words[:2] == ["volume", "inspect"]:
        if not (FOLDER / "volumes" / words[2]).exists():
            fail("Error: no such volume")
    elif words[:2] == ["volume", "rm"]:
        (FOLDER / "volumes" / words[2]).rmdir()
    elif words[:2] == ["network", "rm"]:
        pass
    elif words[:1] == ["port"]:
        say(f"127.0.0.1:{containers()[words[1]]['published'][1]}")
    else:
        fail(f"unknown command: {words}")


def inspected(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": f"/{name}",
        "Id": f"{name}-{told['pid']}",
        "HostConfig": {"PortBindings": {str(one): [{"HostPort": str(one)}] for one in told["published"]}},
        "State": {**state_of(told), "OOMKilled": False},
        "Config": {"Labels": told["service"]["labels"]},
        "RestartCount": told.get("restarts", 0),
    }


def main() -> None:
    with (FOLDER / "asked.jsonl").open("a") as log:
        log.write(json.dumps(WORDS) + "\n")
    says = FOLDER / "says.json"
    line = " ".join(WORDS)
    for begins, told in (json.loads(says.read_text()) if says.exists() else {}).items():
        if line.startswith(begins) or f" {begins} " in f" {line} ":
            sys.stdout.write(told["out"])
            sys.stderr.write(told["err"])
            raise SystemExit(told["code"])
    compose(WORDS[1:]) if WORDS[:1] == ["compose"] else engine(WORDS)


main()
