"""Lets a program in, before a server with a closed door is started: a state folder, and the key in a file."""

from pathlib import Path

from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role

STATE, KEY = "state", "key"
"""The state folder and the file with the key, in the folder that this is run in."""


def main() -> None:
    """Makes a person, and a key of theirs to predict with."""
    Path(STATE).mkdir(mode=0o700, exist_ok=True)
    guard = open_guard({}, state_dir=STATE)
    try:
        person = guard.person("bench") or guard.add_person("bench", Role.PREDICTOR, by=None)
        _, secret = guard.add_key(person, "load", ["predict"], expires_days=1, by=None)
    finally:
        guard.close()
    Path(KEY).write_text(secret.reveal(), encoding="ascii")


if __name__ == "__main__":
    main()
