"""``aweigh worker``: takes the jobs of a bundle, where a server left them, until it is told to stop."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aweigh.cli.terminal import Steps
from aweigh.cli.trusting import signed_by, trust_option, trusted
from aweigh.errors import NotReady

if TYPE_CHECKING:
    import socket

    from aweigh.jobs.store import Store
    from aweigh.jobs.work import Terms
    from aweigh.runtime.predictor import Predictor
    from aweigh.server.jobs.health import Health

LOW_PRIORITY = 10
"""Of 19: beside a server, whose requests come first."""
OUT_OF_MEMORY = "500"
BESIDE_IDLE_S = 30.0
ANYWHERE = "0.0.0.0"  # noqa: S104  asked for by name, and nothing but health is there for others


@click.command("worker")
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--concurrency", type=click.IntRange(1, 64), default=1, show_default=True,
              help="How many jobs to work on at once.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True,
              help="How many threads the model may use.")  # fmt: skip
@click.option("--health-port", type=click.IntRange(0, 65_535), metavar="PORT",
              help="Answer /health/live, /health/ready and /metrics there; 0 takes a free port.")  # fmt: skip
@click.option("--health-host", default=ANYWHERE, show_default=True, metavar="HOST",
              help="The address of that port: a platform asks from outside.")  # fmt: skip
@trust_option
@click.option("--beside", is_flag=True, hidden=True, help="Be the worker of the server that started this process.")
def worker(
    bundle: Path,
    concurrency: int,
    threads: int,
    health_port: int | None,
    health_host: str,
    trust: Path | None,
    beside: bool,
) -> None:
    """Run the jobs that were posted to the servers of BUNDLE.

    Where they are is what the servers are told as well: DATABASE_URL (PostgreSQL), REDIS_URL, or the state folder of
    this machine (AWEIGH_STATE_DIR). It stops on Ctrl-C or SIGTERM, after the part of the file that is under way, and
    gives the job back, to be taken up by another.
    """
    from aweigh.bundle.verify import verify
    from aweigh.jobs.attempt import Limits
    from aweigh.jobs.store import open_store
    from aweigh.jobs.work import Terms
    from aweigh.runtime.load import load
    from aweigh.server.serve import bind, limit_threads, write_log
    from aweigh.server.settings import read_settings

    limit_threads(threads)
    settings = read_settings(os.environ)
    write_log(settings)
    if beside:
        os.nice(LOW_PRIORITY)
        _go_first()
    steps = Steps()
    sock = None if health_port is None else bind(health_host, health_port)
    store = open_store(os.environ, state_dir=settings.state_dir, inline=beside)
    with steps.step("verify") as step:
        found = verify(bundle, trust=trusted(trust), to_load=True)
        step.says(f"{found.manifest.name} {found.version}: every byte is as its manifest says{signed_by(found)}")
    with steps.step("load") as step:
        predictor = load(found, threads=threads, domain=settings.domain or "")
        step.says(f"{predictor.manifest.model}, as {predictor.manifest.runtime}")
    replay = predictor.replay()
    if not replay.ok:
        raise NotReady("The golden rows are not answered as when the model was packed: no job is taken.")
    steps.line("ready", f"{replay.rows} golden rows are answered as the original model answers them")
    steps.line("jobs", f"from {store.state}" if store.news_url is None else "from the database that the servers use")
    health = None
    if sock is not None:
        from aweigh.server.jobs.health import Health

        health = Health(store, predictor, golden_rows=replay.rows, token=settings.metrics_token), sock
        steps.line("health", f"http://{sock.getsockname()[0]}:{sock.getsockname()[1]}/health/ready")
    terms = Terms(
        lease_s=settings.jobs_lease_s,
        ttl_s=settings.jobs_ttl_s,
        concurrency=concurrency,
        idle_s=BESIDE_IDLE_S if beside else None,
        drain_s=settings.drain_s,
        limits=Limits(
            settings.jobs_max_unpacked_bytes,
            settings.jobs_max_rows,
            settings.jobs_max_s,
            settings.jobs_max_result_bytes,
        ),
    )
    # Beside a server only the jobs are worth a line in its log, which is standard error.
    asyncio.run(_work(predictor, store, terms, steps=Steps(json=beside), beside=beside, health=health))
    steps.line("stopped", "what was under way is finished or given back")


def _go_first() -> None:
    """Of server and worker the kernel ends this one where memory runs out, whatever a file has made it take."""
    with contextlib.suppress(OSError):  # elsewhere than on Linux
        Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY, encoding="ascii")


async def _work(
    predictor: "Predictor",
    store: "Store",
    terms: "Terms",
    *,
    steps: Steps,
    beside: bool,
    health: "tuple[Health, socket.socket] | None",
) -> None:
    from aweigh.jobs.job import Job
    from aweigh.jobs.news import open_news
    from aweigh.jobs.work import work

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sent in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sent, partial(_stop, stop, health))
    if beside:
        threading.Thread(target=_until_alone, args=(loop, stop), daemon=True).start()

    def told(job: Job, outcome: str, seconds: float) -> None:
        # The id is what opens the job: a log shows only its beginning.
        steps.line("job", f"{job.id[:8]} {outcome}", seconds=seconds)
        if health is not None:
            health[0].told(outcome, seconds)

    async with AsyncExitStack() as stack:
        stack.callback(store.close)  # after the last who looks at it
        if health is not None:
            from aweigh.server.jobs.health import answering

            await stack.enter_async_context(answering(*health))
        news = open_news(store.news_url, digest=predictor.digest)
        await work(store, predictor, news, terms=terms, stop=stop, told=told)


def _stop(stop: asyncio.Event, health: "tuple[Health, socket.socket] | None") -> None:
    if health is not None:
        health[0].readiness.drain()
    stop.set()


def _until_alone(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Waits until the server at the other end of standard input is gone."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    loop.call_soon_threadsafe(stop.set)
