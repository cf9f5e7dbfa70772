"""Streamlit's own settings: protection that was switched off, a port that is fixed."""

import re
from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder
from aweigh.targets.doctor.platform import Words
from aweigh.targets.doctor.procfile import NAME, read, shell_scripts

CONFIG = ".streamlit/config.toml"
_OFF = r"[ \t=]+[\"']?(?:false|0|off)\b"
_SWITCHES = (
    ("cors_off", "CORS", re.compile(rf"(?:enableCORS|server\.enable-?cors|SERVER_ENABLE_CORS){_OFF}", re.IGNORECASE)),
    (
        "xsrf_off",
        "XSRF protection",
        re.compile(rf"(?:enableXsrfProtection|SERVER_ENABLE_XSRF_PROTECTION){_OFF}", re.IGNORECASE),
    ),
)
_WHY = {
    "cors_off": "any site may open the app's WebSocket in a visitor's name",
    "xsrf_off": "any site may upload files in a visitor's name",
}
_OVERRIDDEN = "Streamlit overrides that for as long as XSRF protection is on; without it any site may open the app"
_PORT = re.compile(r"^\s*port\s*=\s*(\d+)", re.MULTILINE)


def check(folder: Folder, *, words: Words) -> Iterator[Finding]:
    """The Procfile, the scripts that it runs, and the folder's own ``config.toml``."""
    procfile = read(folder)
    lines = list(procfile.processes.values()) if procfile is not None else []
    run = [name for line in lines for name in shell_scripts(line)]
    names = dict.fromkeys(
        [NAME, CONFIG, *run, *(name for name in folder.names if name.endswith(".sh") and "/" not in name)]
    )
    texts = {name: folder.text(name) or "" for name in names}
    without_xsrf = any(_SWITCHES[1][2].search(text) for text in texts.values())
    found = False
    for name, text in texts.items():
        for code, what, pattern in _SWITCHES:
            match = pattern.search(text)
            if match is not None:
                found = True
                where = f"{name}, line {text.count(chr(10), 0, match.start()) + 1}"
                fix = f"take {match[0].strip()} out; behind {words.router} Streamlit works with the protection on"
                why = _WHY[code] if without_xsrf else _OVERRIDDEN
                yield Finding(code, "fail" if without_xsrf else "warn", f"{what} is switched off: {why}", fix, where)
    port = _PORT.search(folder.text(CONFIG) or "")
    if port is not None and not re.search(r"server\.port|SERVER_PORT", "\n".join(lines)):
        found = True
        what = f"the port is fixed at {port[1]}; it is told another one each time"
        yield Finding("fixed_port", "fail", what, "take it out, and say --server.port $PORT on the web line", CONFIG)
    if not found:
        yield Finding("protection", "pass", "protection against other sites is on")
