r"""``setup.sh``: an ``echo`` whose ``\n`` one shell breaks lines at and another writes as it stands."""

import re
from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.procfile import STREAMLIT_FLAGS, read, shell_scripts

_ECHO = re.compile(r"\becho\s+(?!-\w*e)(?:-n\s+)?(\"[^\"]*\"|'[^']*')")
FIX = (
    f"delete the script, and say it on the web line: streamlit run app.py {STREAMLIT_FLAGS}; "
    "or write the file with printf or a here-document (cat > config.toml <<EOF)"
)


def check(folder: Folder) -> Iterator[Finding]:
    """Scripts at the root and those that the Procfile runs."""
    procfile = read(folder)
    lines = list(procfile.processes.values()) if procfile is not None else []
    run = [name for line in lines for name in shell_scripts(line)]
    names = [name for name in folder.names if name.endswith(".sh") and ("/" not in name or name in run)]
    for name in names:
        text = folder.text(name) or ""
        yield from _echoes(name, text, by=next((line for line in lines if name in shell_scripts(line)), ""))
        if "\r" in text:
            what = "its lines end as on Windows (CRLF): the shell takes the CR for part of the last word"
            yield Finding("script_crlf", "fail", what, f"save it with LF: sed -i 's/\\r$//' {name}", name)


def _echoes(name: str, text: str, *, by: str) -> Iterator[Finding]:
    for match in (one for one in _ECHO.finditer(text) if "\\n" in one[1]):
        position = text.count("\n", 0, match.start()) + 1
        wrong = _is_bash(name, text, by)
        who = "bash, which runs it," if wrong else "bash (where it runs it), unlike sh,"
        what = f'{who} writes the \\n of echo "..." as two characters: one line that is no TOML, and no port is set'
        yield Finding("echo_newline", "fail" if wrong else "warn", what, FIX, f"{name}, line {position}")
        return


def _is_bash(name: str, text: str, line: str) -> bool:
    """Whether bash reads the script: by the line that runs it, else by the script's own first line."""
    path = rf"(?:\./)?{re.escape(name)}"
    if re.search(rf"\b(?:da)?sh\s+(?:-\w+\s+)*{path}", line) and not re.search(rf"\bbash\s+(?:-\w+\s+)*{path}", line):
        return False
    if re.search(rf"(?:\bbash|\bsource|(?:^|[\s;&])\.)\s+(?:-\w+\s+)*{path}", line):
        return True
    return bool(re.match(r"#!.*\bbash\b", text))
