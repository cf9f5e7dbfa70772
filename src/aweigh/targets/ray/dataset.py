"""A data set scored on a Ray: its partitions go through Ray Data to a pool of actors that load the bundle once each.

The bundle's bytes travel to the nodes and are verified there, by the digest and with the trust of who began the run.
Partitions are read and written by the nodes themselves; what comes back is what the record says of each. An actor, or
a node, that ends takes nothing with it: what it had not finished is done again by another.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from aweigh.bundle.archive import write_bundle
from aweigh.bundle.contents import needs_signature
from aweigh.bundle.policy import policy_of
from aweigh.bundle.trust import Trust, own_trust
from aweigh.bundle.verify import open_bundle, verify
from aweigh.errors import AweighError, DamagedBundle, UsageError
from aweigh.runtime.dataset.partitions import Partition
from aweigh.runtime.dataset.place import open_place
from aweigh.runtime.dataset.record import Done, Failed
from aweigh.runtime.dataset.run import OnShare, Outcomes, Runner
from aweigh.runtime.dataset.work import ATTEMPTS, Cannot, Task, score_partition
from aweigh.runtime.load import load
from aweigh.targets.ray.cluster import CLIENT, ray_module
from aweigh.targets.ray.dataset_cluster import check_places, joined, settle

MOST_TRIES = 6
"""How often a partition is begun whose actor or node ends under it; a file too large for the memory ends each."""
DIED = Failed(
    "worker_died",
    f"The actors that scored it ended, {MOST_TRIES} times.",
    "most often for want of memory: smaller files, or nodes with more",
)


class _Said(msgspec.Struct, frozen=True):
    """What an actor says of a partition; one of the three."""

    name: str
    done: Done | None = None
    failed: Failed | None = None
    cannot: Cannot | None = None


@dataclass(frozen=True, slots=True)
class _Sent:
    """What each actor gets: the task, the bundle's bytes by reference, and whose signatures count."""

    task: Task
    bundle: Any
    trust: Trust | None


class Tries:
    """The actor that counts how often each partition was begun: Ray itself would try for ever."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """One more try of a partition; how many that were."""
        self._begun[name] += 1
        return self._begun[name]


class Scorer:
    """The actor: it loads the bundle when the first partition comes, and keeps it."""

    def __init__(self, sent: _Sent, tries: Any) -> None:
        self._sent = sent
        self._tries = tries
        self._predictor: Any = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """What came of the partitions of a batch, as bytes."""
        said = [self._score(msgspec.json.decode(one, type=Partition)) for one in batch["partition"]]
        return {"said": [msgspec.json.encode(one).decode() for one in said]}

    def _score(self, partition: Partition) -> _Said:
        try:
            if self._predictor is None:
                self._predictor = self._open()
            if _begin(self._tries, partition.name) > MOST_TRIES:
                return _Said(partition.name, failed=DIED)
            outcome = score_partition(self._predictor, self._sent.task, partition, on_share=lambda _: None)
        except (AweighError, OSError) as error:
            return _Said(partition.name, cannot=Cannot.of(error, self._sent.task))
        if isinstance(outcome, Done):
            return _Said(partition.name, done=outcome)
        return _Said(partition.name, failed=outcome)

    def _open(self) -> Any:
        import ray

        task = self._sent.task
        with tempfile.TemporaryDirectory(prefix="aweigh-bundle-") as folder:
            path = Path(folder) / "sent.aweigh"
            path.write_bytes(ray.get(self._sent.bundle))
            bundle = verify(path, trust=self._sent.trust, to_load=True)
            if bundle.digest != task.digest:
                raise DamagedBundle("The bundle was changed while its answers were written.", hint="run it again")
            return load(bundle, threads=task.threads, form=task.form, domain=task.options.domain)


def _begin(tries: Any, name: str) -> int:
    import ray

    try:
        return int(ray.get(tries.begin.remote(name)))
    except ray.exceptions.RayError:
        return 1  # the node that counted has gone: it begins anew


def ray_runner(on: str, *, workers: int | None) -> Runner:
    """What scores partitions on a Ray: ``ray`` (started here), ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.

    Raises:
        MissingExtra: there is no Ray in this environment.
    """
    ray_module("ray.data", what="--on")

    def runner(task: Task, partitions: Sequence[Partition], on_share: OnShare) -> Outcomes:  # noqa: ARG001
        for address in (task.data, task.out):
            if not open_place(address).is_shared:
                raise UsageError(
                    f"{address} is in the memory of one process, and no node sees it.", hint="name another"
                )
        if not partitions:
            return
        with joined(on) as ray:
            check_places(ray, task, partitions[0])
            sent = _Sent(replace(task, bundle=Path()), ray.put(_bundle_bytes(task)), _trust(task))
            # Ray Data does not run by Ray's client (2.60): there an actor of the cluster runs it.
            score = _conducted if on.startswith(CLIENT) else _said
            yield from _outcomes(score(ray, sent, partitions, workers))

    return runner


def _outcomes(said: Iterator[_Said]) -> Outcomes:
    for one in said:
        if one.cannot is not None:
            raise one.cannot.error()
        outcome = one.done or one.failed
        if outcome is not None:
            yield one.name, outcome


def _said(ray: Any, sent: _Sent, partitions: Sequence[Partition], workers: int | None) -> Iterator[_Said]:
    """What the actors of Ray Data say of the partitions, as they finish; the largest are begun first."""
    most = min(workers or max(1, int(ray.cluster_resources().get("CPU", 1))), len(partitions))
    ordered = sorted(partitions, key=lambda one: -one.size_bytes)
    items = [{"partition": msgspec.json.encode(one).decode()} for one in ordered]
    tries = ray.remote(Tries).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    data = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Scorer,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, max_tasks_in_flight_per_actor=1),
        fn_constructor_args=(sent, tries),
        num_cpus=1,
    )
    for row in data.iter_rows():
        yield msgspec.json.decode(row["said"], type=_Said)


class Conductor:
    """An actor of the cluster that runs Ray Data for a machine that is none of it."""

    def __init__(self, sent: _Sent, partitions: Sequence[Partition], workers: int | None) -> None:
        import ray
        import ray.data

        settle(ray)
        self._said = _said(ray, sent, partitions, workers)

    def next(self) -> _Said | None:
        """What is said next; None at the end."""
        return next(self._said, None)


def _conducted(ray: Any, sent: _Sent, partitions: Sequence[Partition], workers: int | None) -> Iterator[_Said]:
    """The same by a conductor; where its node goes, another goes on with what is left."""
    left = {one.name: one for one in partitions}
    for attempt in range(ATTEMPTS):
        conductor = ray.remote(Conductor).options(num_cpus=0).remote(sent, list(left.values()), workers)
        try:
            while (one := ray.get(conductor.next.remote())) is not None:
                if left.pop(one.name, None) is not None:
                    yield one
        except ray.exceptions.ActorDiedError:
            if attempt + 1 == ATTEMPTS:
                raise
        else:
            return


def _trust(task: Task) -> Trust | None:
    """Whose signatures count, as on this machine: the nodes have neither its environment nor its keys."""
    named = policy_of(os.environ)
    if named is None and needs_signature(open_bundle(task.bundle).manifest):
        return own_trust(os.environ)
    return named


def _bundle_bytes(task: Task) -> bytes:
    """The bundle as the one file that travels.

    Raises:
        DamagedBundle: it is no more what it was.
    """
    if task.bundle.is_file():
        return task.bundle.read_bytes()
    bundle = open_bundle(task.bundle)
    with tempfile.TemporaryDirectory(prefix="aweigh-bundle-") as folder:
        path = Path(folder) / "sent.aweigh"
        write_bundle({name: member.read() for name, member in bundle.members.items()}, path)
        return path.read_bytes()
