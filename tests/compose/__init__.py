"""A stand-in for Docker: a program called ``docker`` whose containers are processes of this machine.

It knows the commands that a deployment types, keeps images and containers as files in a folder, and reads the project's
documents with PyYAML, which no one here wrote. What it cannot show (networks, volumes, limits) the slow tests show with
the real one (tests/integration/test_compose_real.py).
"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("docker_program.py")
LABELS = "io.aweigh"


class Docker:
    """The stand-in's folder: what it has, what it is to say, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        for one in (self.bin, folder / "images", folder / "containers"):
            one.mkdir(parents=True)
        self.install("docker")

    def install(self, name: str, *words: str) -> None:
        """Put the program there under a name; it is typed with these words before all others."""
        path = self.bin / name
        more = "".join(f'"{one}" ' for one in words)
        path.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I -S "{PROGRAM}" "{self.folder}" "{sys.prefix}" {more}"$@"\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def environ(self) -> dict[str, str]:
        """What finds it, and nothing else of its kind."""
        return {"PATH": f"{self.bin}:/nowhere"}

    def says(self, words: str, *, code: int = 1, err: str = "", out: str = "") -> None:
        """From now on a command that begins with these words ends so."""
        path = self.folder / "says.json"
        told = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**told, words: {"code": code, "err": err, "out": out}}))

    def quiet(self) -> None:
        """Take back what it is to say."""
        (self.folder / "says.json").unlink(missing_ok=True)

    def add_image(self, name: str, bundle: bytes, *, version: str, architecture: str = "amd64", **more: Any) -> None:
        """Have an image: what it runs, and the bundle in it."""
        place = self.folder / "images" / name.replace("/", "_").replace(":", "_").replace("@", "_")
        place.mkdir()
        (place / "penguins.aweigh").write_bytes(bundle)
        command = ["aweigh", "serve", "penguins.aweigh", "--host", "0.0.0.0", "--auth", "none", "--no-ui"]
        labels = {"org.opencontainers.image.version": version}
        told = {"Os": "linux", "Architecture": architecture, "Config": {"Labels": labels, "Cmd": command, **more}}
        (place / "image.json").write_text(json.dumps({"name": name, **told}))

    def asked(self) -> list[list[str]]:
        """The commands that were typed, the oldest first."""
        path = self.folder / "asked.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def containers(self) -> dict[str, dict[str, Any]]:
        """What runs, or ran, by name."""
        return {one.stem: json.loads(one.read_text()) for one in (self.folder / "containers").glob("*.json")}

    def images(self) -> set[str]:
        """The names of the images that it has."""
        return {json.loads(one.read_text())["name"] for one in (self.folder / "images").glob("*/image.json")}

    def stop(self) -> None:
        """End what still runs."""
        self.install("docker")
        for name in self.containers():
            subprocess.run([self.bin / "docker", "rm", "-f", name], check=False, capture_output=True, env=os.environ)
