"""A Heroku on this machine, to try a deployment without an account.

    python -m tests.heroku --port 8871

says the address and the token that `aweigh deploy heroku` is to be told, and the official command line, too:

    export HEROKU_HOST=http://127.0.0.1:8871 HEROKU_API_KEY=HRKU-local-0123456789
    heroku apps:create my-first     (start the server with --lenient for it: its requests are not all in the schema)

Apps really run here, each on a port of its own; Ctrl-C ends them all. --postgres and --redis are the addresses of
servers that the add-ons give out; --prebuilt is an environment that every build takes instead of installing.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from tests.heroku.options import Options
from tests.heroku.server import HerokuServer


def main() -> int:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.heroku", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--port", type=int, default=8871)
    parser.add_argument("--token", default=Options().token)
    parser.add_argument("--lenient", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--prebuilt", type=Path)
    parser.add_argument("--postgres")
    parser.add_argument("--redis")
    given = parser.parse_args()
    server = HerokuServer(port=given.port, token=given.token, strict=not given.lenient, folder=given.folder,
                          prebuilt=given.prebuilt, postgres_url=given.postgres, redis_url=given.redis)  # fmt: skip
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with server:
        sys.stdout.write(f"HEROKU_HOST={server.url}\nHEROKU_API_KEY={server.token}\n")
        sys.stdout.flush()
        ended.wait()
        sys.stdout.writelines(f"not in the schema: {line}\n" for line in server.violations)
    return 0


if __name__ == "__main__":
    sys.exit(main())
