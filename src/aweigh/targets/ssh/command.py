"""What is asked of a host, as values: an argument list, what it reads, and what it is for. Nothing is sent here.

Scripts are constants of this module that take everything else as arguments (``$1``), so that no value is ever read as
code: neither by the shell there, which gets each argument quoted, nor by one here, which there is none of.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aweigh.secret import Secret
from aweigh.targets.ssh.place import (
    ADMIN_ADDRESS,
    ADMIN_SOCKET,
    CADDYFILE,
    IMPORT,
    ROOT,
    SITES,
    STATE,
    UNITS,
    Paths,
    Slot,
    marker_name,
)

WHOLE = (
    '{ [ "$(wc -c < "$1.new")" -eq "$size" ] || '
    '{ rm -f "$1.new"; echo "error: what arrived was cut off" >&2; exit 1; }; }'
)
"""A line that dies looks like the end of what is sent: what is shorter than it was takes nobody's place."""
WRITE = (
    'umask 077; size=$3; mkdir -p "$(dirname "$1")" && cat > "$1.new" && '
    f'{WHOLE} && chmod "$2" "$1.new" && mv -fT "$1.new" "$1"'
)
READ = 'if [ -f "$1" ]; then cat "$1"; fi'
SETTINGS = 'if [ -f "$1" ]; then cut -d= -f1 "$1" | grep -E "^[A-Z]" | sort; fi'
MADE_UP = (
    'umask 077; grep -q "^$1=" "$2" || { made=$(od -An -N32 -tx1 /dev/urandom | tr -d " \\n"); '
    '[ "${#made}" -eq 64 ] || { echo "error: no random bytes" >&2; exit 1; }; '
    '[ -z "$(tail -c1 "$2" 2>/dev/null)" ] || echo >> "$2"; printf "%s=%s\\n" "$1" "$made" >> "$2"; }'
)
CHANGE = (
    'umask 077; { grep -vE "^($2)=" "$1" || true; } > "$1.kept" && '
    'size=$(( $(wc -c < "$1.kept") + $3 )) && cat "$1.kept" - > "$1.new" && rm -f "$1.kept" && '
    f'{WHOLE} && chmod 600 "$1.new" && mv -fT "$1.new" "$1"'
)
IMPORTED = (
    'mkdir -p -m 755 "$3" && chmod 755 "$3" && touch "$1" && { grep -qxF "$2" "$1" || '
    '{ [ -z "$(tail -c1 "$1")" ] || echo >> "$1"; printf "%s\\n" "$2" >> "$1"; }; }'
)
DURABLE = 'for d in "$@"; do [ ! -e "$d" ] || sync -f "$d"; done'
"""What was written there is on the disk, and not in memory alone: a machine whose power fails must have it."""
POINT = (
    "set -e; live=$1 name=$2; shift 2; "
    f'{DURABLE}; touch "$live/$name"; sync -f "$live"; sleep 0.2; '
    'for f in "$live"/*; do [ "$f" = "$live/$name" ] || rm -f "$f"; done; sync -f "$live"'
)
SHUT = (
    'set -e; first=$(grep -vE "^[[:space:]]*(#|$)" "$1" 2>/dev/null | head -n1); case "$first" in "{"*) exit 0;; esac; '
    'file=$(readlink -f "$1"); cp -p "$file" "$file.before"; cp -p "$file" "$file.new"; '
    '{ printf "{\\n\\tadmin unix/%s\\n}\\n" "$2"; cat "$file.before"; } > "$file.new"; '
    'if caddy validate --adapter caddyfile --config "$file.new" >/dev/null 2>&1 && mv -fT "$file.new" "$file" && '
    'caddy reload --address "$3" --adapter caddyfile --config "$file" >/dev/null 2>&1; then echo shut; '
    'else mv -fT "$file.before" "$file"; fi; rm -f "$file.before" "$file.new"'
)
"""Only where the file has no options of its own: those are somebody's. What Caddy does not take is put back."""
RELOAD = (
    'at=; if grep -qF "admin unix/$2" "$1" && [ ! -S "$2" ]; then at="--address $3"; fi; '
    'exec caddy reload $at --adapter caddyfile --config "$1"'
)
"""Where the file names the socket and Caddy has not heard of it, it is still administered where it was."""
CURRENT = 'ln -sfn "$1" "$2.new" && mv -fT "$2.new" "$2"'
APPEND = (
    'last=$(tail -n1 "$3" 2>/dev/null | cut -d" " -f1-2); [ "$last" = "$1 $2" ] && [ -z "$4" ] || '
    'printf "%s %s %s\\n" "$1" "$2" "$(date +%s)" >> "$3"'
)
CLEAR = (
    'set -e; systemctl list-units --all --plain --no-legend --full "$1*" | cut -d" " -f1 | grep -E "$2" | '
    "xargs -r systemctl disable --now --quiet 2>/dev/null || true; "
    # A unit that is gone may be remembered, as another unit names it, and cannot be stopped.
    'systemctl list-units --all --plain --no-legend --full "$1*" | grep -vE "^[^ ]+ +not-found +(inactive|failed) " | '
    'cut -d" " -f1 | grep -E "$2" | xargs -r systemctl stop --quiet; '
    'systemctl list-units --all --plain --no-legend --full "$1*" | cut -d" " -f1 | grep -E "$2" | '
    "xargs -r systemctl reset-failed 2>/dev/null || true; "
    'find "$3" -maxdepth 2 -name "$1*" | grep -E "$2" | xargs -r rm -f; systemctl daemon-reload'
)
HELD = 'echo held; while [ -n "$(timeout "$1" dd bs=1 count=1 2>/dev/null)" ]; do :; done'
"""Holds on as long as a byte comes within so many seconds, and no longer."""
SILENCE_S = 60


@dataclass(frozen=True, slots=True)
class Command:
    """One of them: ``what`` completes "the host could not ..."; ``root``: it takes root's rights."""

    what: str
    argv: tuple[str, ...]
    stdin: bytes | Path | Secret | None = None
    root: bool = True

    @property
    def shown(self) -> str:
        """As a person would type it there; what it reads is not in it."""
        return shlex.join(self.argv)


def shell(what: str, script: str, *arguments: str, stdin: bytes | Path | Secret | None = None) -> Command:
    """A script of this module with its arguments."""
    return Command(what, ("sh", "-c", script, "sh", *arguments), stdin)


def write(path: str, content: bytes | Secret, *, mode: str = "644") -> Command:
    """Writes a file, whole or not at all."""
    return shell(f"write {path.rpartition('/')[2]}", WRITE, path, mode, str(_size_of(content)), stdin=content)


def _size_of(content: bytes | Secret) -> int:
    return len(content.reveal().encode() if isinstance(content, Secret) else content)


def read(path: str) -> Command:
    """Reads a file; nothing where there is none."""
    return shell(f"read {path.rpartition('/')[2]}", READ, path)


def set_up(paths: Paths) -> list[Command]:
    """The app's user and its folders; what is there stays."""
    user = ("--system", "--user-group", "--no-create-home", "--home-dir", paths.state, "--shell", "/usr/sbin/nologin")
    script = 'id -u "$1" >/dev/null 2>&1 || { u=$1; shift; useradd "$@" "$u"; }'
    folders = [paths.root, f"{paths.root}/live"]
    shut = [f"{paths.root}/releases", f"{paths.root}/venvs"]
    return [
        shell("make the user of the app", script, paths.user, *user),
        Command("make the folders of the app", ("install", "-d", "-m", "755", ROOT, STATE, *folders)),
        Command("make the folders of the app", ("install", "-d", "-m", "750", "-g", paths.user, *shut)),
        Command("make the folders of the app", ("install", "-d", "-m", "700", f"{paths.root}/shared")),
        Command(
            "make the folders of the app",
            ("install", "-d", "-m", "700", "-o", paths.user, "-g", paths.user, paths.state, f"{paths.root}/cache"),
        ),
        shell("make the file of settings", 'umask 077; touch "$1" "$2"; chmod 600 "$1"', paths.env, paths.lock),
    ]


def make_up(paths: Paths, names: Sequence[str]) -> list[Command]:
    """Makes up the secrets that are not there; they never leave the host."""
    return [shell(f"make up {name}", MADE_UP, name, paths.env) for name in names]


def change_settings(paths: Paths, names: Sequence[str], lines: Secret) -> Command:
    """Takes settings away and puts the lines in their place."""
    return shell("write the settings", CHANGE, paths.env, "|".join(names), str(_size_of(lines)), stdin=lines)


def keep_settings(paths: Paths) -> Command:
    """Keeps the settings as they are, for ``restore_settings``."""
    return Command("keep the settings", ("cp", "-pf", paths.env, f"{paths.env}.before"))


def restore_settings(paths: Paths) -> Command:
    """Puts them back."""
    return Command("put the settings back", ("mv", "-fT", f"{paths.env}.before", paths.env))


def import_sites() -> Command:
    """Has the host's own Caddyfile read the sites of all apps: one line at its end, once."""
    return shell("write the line into Caddy's configuration", IMPORTED, CADDYFILE, IMPORT, SITES)


def check_sites() -> Command:
    """Asks Caddy whether it could take its configuration."""
    return Command(
        "let Caddy read its configuration", ("caddy", "validate", "--adapter", "caddyfile", "--config", CADDYFILE)
    )


def reload_sites() -> Command:
    """Has Caddy take its configuration anew, without closing what it does."""
    return shell("take Caddy's configuration", RELOAD, CADDYFILE, ADMIN_SOCKET, ADMIN_ADDRESS)


def shut_administration() -> Command:
    """Moves Caddy's administration from a port of the loopback, which is every local user's, to a socket of Caddy's."""
    return shell("shut Caddy's administration", SHUT, CADDYFILE, ADMIN_SOCKET, ADMIN_ADDRESS)


def taken_site(paths: Paths) -> Command:
    """Keeps the site that Caddy has taken: one that was only written is known by it, and taken by the next run."""
    return Command("keep the site that Caddy took", ("cp", "-f", paths.site, paths.taken))


def systemctl(what: str, *words: str) -> Command:
    """A call of systemctl."""
    return Command(what, ("systemctl", *words))


def clear_slot(paths: Paths, slot: Slot) -> Command:
    """Stops and takes away whatever is in a slot."""
    pattern = rf"^(.*/)?{paths.prefix.replace('.', '[.]')}[a-z0-9-]+[.]{slot}(@[0-9]*)?[.]service$"
    return shell(f"clear slot {slot}", CLEAR, paths.prefix, pattern, UNITS)


def clear_all(paths: Paths) -> Command:
    """Stops and takes away all units of the app."""
    pattern = rf"^(.*/)?{paths.prefix.replace('.', '[.]')}[a-z0-9-]+[.][ab](@[0-9]*)?[.]service$"
    return shell("stop the app", CLEAR, paths.prefix, pattern, UNITS)


def point(paths: Paths, slot: Slot, web: int) -> Command:
    """The switch itself: from the next request on Caddy asks that slot.

    The new marker is there before the old one goes, and longer than a request takes to look for both. What it names
    is on the disk before it.
    """
    return shell(f"switch to slot {slot}", POINT, paths.live, marker_name(slot, web), paths.root, UNITS, SITES)


def keep_durably(paths: Paths) -> Command:
    """Has what was written of an app on the disk."""
    return shell("have the disk keep it", DURABLE, paths.root, UNITS)


def unmark(paths: Paths, slot: Slot) -> Command:
    """Takes away the markers of a slot that is not live."""
    return shell(f"clear slot {slot}", 'rm -f "$1/$2"[0-9]*', paths.live, slot)


def point_current(paths: Paths, release: str) -> Command:
    """Has ``current`` name the release that is live, for whoever looks."""
    return shell("name the live release", CURRENT, f"releases/{release}", f"{paths.root}/current")


def record(paths: Paths, release: str, bundle: str | None, *, always: bool) -> Command:
    """A line of history, unless the last one says the same."""
    return shell("write the history", APPEND, release, bundle or "-", paths.history, "always" if always else "")
