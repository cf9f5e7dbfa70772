"""The Procfile: is it there under its own name, does its web line listen on ``$PORT``, and does every reader agree."""

import re
from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder, find_script
from aweigh.targets.doctor.platform import Platform
from aweigh.targets.procfile import Procfile, read_procfile

NAME = "Procfile"
STREAMLIT_FLAGS = "--server.port $PORT --server.address 0.0.0.0 --server.headless true"

MOST_UNREAD = 5
"""Lines that are told one by one."""

_PORT = re.compile(r"\$\{?PORT\b|%PORT%")
_SAFE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_LOOPBACK = re.compile(r"(?:--server\.address|--host|--bind|-b)[ =](?:localhost|127\.0\.0\.1)")
_SCRIPT = re.compile(r"(?:^|[\s;&|])(?:(?:ba|da|z|k)?sh|source|\.)\s+(?:-\w+\s+)*(\S+\.sh)|(?:^|[\s;&|])(\./\S+\.sh)")
_READS_PORT = re.compile(r"\b(?:gunicorn|aweigh\s+serve)\b")
"""Programs that read ``PORT`` by themselves."""


def read(folder: Folder) -> Procfile | None:
    """The folder's Procfile; None where it has none under that name."""
    text = folder.text(NAME)
    return None if text is None else read_procfile(text)


def shell_scripts(line: str) -> tuple[str, ...]:
    """The shell scripts that a command line runs, relative."""
    return tuple((one or other).removeprefix("./") for one, other in _SCRIPT.findall(line))


def check(folder: Folder, *, platform: Platform) -> Iterator[Finding]:
    """What is wrong with the Procfile, or that nothing is."""
    found = list(_faults(folder, platform))
    yield from found
    if not found:
        yield Finding("procfile", "pass", "the web line listens on $PORT", where=NAME)


def _faults(folder: Folder, platform: Platform) -> Iterator[Finding]:
    text = folder.text(NAME)
    line = f"web: streamlit run {find_script(folder) or 'app.py'} {STREAMLIT_FLAGS}"
    if text is None:
        wrong = [one for one in folder.names if "/" not in one and one.lower() in {"procfile", "procfile.txt"}]
        if wrong:
            what = f"{wrong[0]} is not read: the name is Procfile, with a capital P and nothing behind it"
            yield Finding("procfile_name", "fail", what, f"rename it: git mv {wrong[0]} Procfile", wrong[0])
        else:
            what = "there is no Procfile: nothing says how the app is started"
            fix = f"write one, of this line: {line}"
            known = find_script(folder) is not None
            if known:
                fix = f"aweigh deploy {platform.target} writes one, with a door before the app; to have your own {fix}"
            yield Finding("no_procfile", "warn" if known else "fail", what, fix, NAME)
        return
    procfile = read_procfile(text)
    if "\r" in text:
        what = "its lines end as on Windows (CRLF); not every reader takes the CR off the last word"
        yield Finding("procfile_crlf", "warn", what, "save it with LF: sed -i 's/\\r$//' Procfile", NAME)
    for number, unread in procfile.unread[:MOST_UNREAD]:
        what = f"no reader takes this line for a process: {unread.strip()[:60]}"
        yield Finding(
            "procfile_line", "warn", what, "write it as TYPE: COMMAND, or take it out", f"{NAME}, line {number}"
        )
    for double in dict.fromkeys(procfile.doubles):
        what = f"{double} stands there more than once; the last one counts"
        yield Finding("procfile_double", "warn", what, "keep one of them", NAME)
    for name in procfile.processes:
        if _SAFE.match(name) is None:
            what = (
                f"the type {name} is changed or refused by newer readers: they want small letters, digits and hyphens"
            )
            yield Finding("procfile_type", "warn", what, f"call it {name.lower().replace('_', '-')}", NAME)
    web = procfile.processes.get("web")
    if web is None:
        named = ", ".join(procfile.processes) or "nothing"
        what = f"it has no web line ({named}): no process gets requests"
        yield Finding("no_web", "fail", what, f"add: {line}", NAME)
        return
    yield from _web(folder, web, platform, at=f"{NAME}, line {_line_of(text, 'web')}")


def _web(folder: Folder, web: str, platform: Platform, *, at: str) -> Iterator[Finding]:
    scripts = [folder.text(name) or "" for name in shell_scripts(web)]
    everything = "\n".join([web, *scripts])
    if not _PORT.search(everything) and not _READS_PORT.search(web) and not _code_reads_port(folder, web):
        what = f"the web line does not use $PORT: nothing listens where requests come in{platform.words.unheard}"
        yield Finding("no_port", "fail", what, _with_port(web), at)
    if _LOOPBACK.search(everything) and not platform.reaches_loopback:
        what = f"it listens on the loopback address, which {platform.words.router} cannot reach"
        yield Finding("loopback", "fail", what, "listen on every address: 0.0.0.0", at)
    for name in shell_scripts(web):
        if name not in folder.names:
            what = f"it runs {name}, which is not in the folder"
            yield Finding("missing_script", "fail", what, f"add {name}, or take it out of the line", at)
    started = re.search(r"streamlit\s+run\s+(?:-\S+\s+)*([^\s-]\S*\.py)", web)
    if started is not None and started[1].removeprefix("./") not in folder.names:
        what = f"it starts {started[1]}, which is not in the folder"
        yield Finding("missing_script", "fail", what, f"name the script that there is: {find_script(folder)}", at)


def _code_reads_port(folder: Folder, web: str) -> bool:
    """Whether a script that the line starts with Python asks the environment for the port itself."""
    names = re.findall(r"python[\d.]*\s+(?:-\w\s+)*(\S+\.py)", web)
    return any(re.search(r"[\"']PORT[\"']", folder.text(name.removeprefix("./")) or "") for name in names)


def _with_port(web: str) -> str:
    if re.search(r"\bstreamlit\s+run\b", web):
        kept = re.sub(r"\s--server\.(?:port|address|headless)[ =]\S+", "", web)
        return f"web: {kept} {STREAMLIT_FLAGS}"
    if re.search(r"\buvicorn\b", web):
        return f"web: {re.sub(r' --(?:port|host)[ =][^ ]+', '', web)} --host 0.0.0.0 --port $PORT"
    return "give the port that the server listens on as $PORT, on the address 0.0.0.0"


def _line_of(text: str, name: str) -> int:
    lines = text.splitlines()
    return max((i for i, line in enumerate(lines, 1) if re.match(rf"\s*{name}\b", line)), default=1)
