"""What an sshd runs in Dokku's place: git's own receiver, and the few commands that are asked, written down in a log.

It builds and runs nothing, and knows of Dokku what its documentation says: a test with it shows what is sent, no more.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Do what was asked, and answer as Dokku does."""
    folder, words = Path(sys.argv[1]), shlex.split(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    with (folder / "asked").open("a") as log:
        log.write(json.dumps(words) + "\n")
    app = folder / "apps" / next((one for one in words[1:] if not one.startswith("-")), "")
    if words[0] == "git-receive-pack":
        if not (app / "HEAD").exists():
            subprocess.run(["git", "init", "--quiet", "--bare", str(app)], check=True)
        if (folder / "refuses").exists():
            hook = app / "hooks" / "pre-receive"
            hook.write_text("#!/bin/sh\necho 'App container failed to start!!' >&2\nexit 1\n")
            hook.chmod(0o755)
        return subprocess.run(["git-receive-pack", str(app)], check=False).returncode
    if words[0] == "apps:exists":
        return 0 if app.is_dir() else 20
    if words[0] == "apps:create":
        app.mkdir(parents=True)
    if not app.is_dir():
        sys.stderr.write(f" !     App {app.name} does not exist\n")
        return 20
    if words[0] == "apps:destroy":
        shutil.rmtree(app)
        return 0
    scaled = app / "scale.json"
    counts = json.loads(scaled.read_text()) if scaled.exists() else {"web": 1}
    if words[0] == "ps:scale" and len(words) > 2:
        counts |= {kind: int(count) for kind, _, count in (one.partition("=") for one in words[2:])}
        scaled.write_text(json.dumps(counts))
    listed = [f"{kind}:  {count}" for kind, count in counts.items()]
    answers = {
        "config:get": "0123456789abcdef" * 4,
        "urls": (folder / "url").read_text() if (folder / "url").exists() else "",
        "ps:report": "=====> x\n  Deployed:   true\n  Running:    true\n  Status web 1:  running (CID: 1)",
        "ps:scale": "\n".join([f"-----> Scaling for {app.name}", "proctype: qty", "--------: ---", *listed]),
        "logs": "app[web.1]: http://127.0.0.1/invite/0123456789012345678901234567",
    }
    sys.stdout.write(answers.get(words[0], "") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
