"""``aweigh pack``: a model file and a sample become a bundle."""

import shlex
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from aweigh.bundle.contents import needs_signature
from aweigh.cli.terminal import Progress, Steps, human_size, print_document
from aweigh.cli.trusting import private_key

if TYPE_CHECKING:
    from aweigh.config import Config
    from aweigh.packing import Packed


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", "sample", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="SAMPLE",
              required=True, help="Rows as the model takes them: CSV, Parquet, Arrow, JSON or JSON lines.")  # fmt: skip
@click.option("--target", metavar="COLUMN", help="The sample's column that is predicted: it is no input.")
@click.option("--name", help="The bundle's name (default: the model file's).")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="PATH",
              help="A file, or a folder for NAME-DIGEST.aweigh (default: the working folder).")  # fmt: skip
@click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
              help="What the owner says of the model (default: aweigh.toml beside it).")  # fmt: skip
@click.option("--python", metavar="X.Y", help="The Python version to lock for (default: the one that runs this).")
@click.option("--with-native", is_flag=True,
              help="Lock the model's own library, too, where its trees are quicker for many rows at once.")  # fmt: skip
@click.option("--allow-pickle", is_flag=True,
              help="Take a pickle, signed, where no portable form gives the model's answers.")  # fmt: skip
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Sign the bundle with this key (your own Python, or a pickle, with your own key, too).")  # fmt: skip
@click.option(
    "--robustness",
    is_flag=True,
    help="Attack the model, and write into its card how small a change of the inputs changes an answer.",
)
@click.option("--holdout", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="DATA",
              help="Rows with the target that the model was not trained on: the card tells what its answers give away "
                   "of who was.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; the steps go to standard error.")
def pack(
    model: str,
    sample: Path,
    target: str | None,
    name: str | None,
    output: Path | None,
    config_path: Path | None,
    python: str | None,
    with_native: bool,
    allow_pickle: bool,
    key: Path | None,
    robustness: bool,
    holdout: Path | None,
    as_json: bool,
) -> None:
    """Make a bundle of a trained MODEL, proven to answer as the original does.

    MODEL is a joblib, pickle, skops, XGBoost, LightGBM, CatBoost or ONNX file, or module:function. A pickle is
    scanned before it is loaded: what would import a name that is on no list is refused, and nothing of it is run.
    """
    steps = Steps(json=as_json)
    packed = run_pack(model, sample, steps=steps, target=target, name=name, output=output, config_path=config_path,
                      python=python, with_native=with_native, allow_pickle=allow_pickle, key=key, robustness=robustness,
                      holdout=holdout)  # fmt: skip
    if as_json:
        print_document(document(packed))
        return
    steps.next(f"aweigh serve {shlex.quote(str(packed.path))}{trust_for(packed, key)}")


def trust_for(packed: "Packed", key: Path | None) -> str:
    """The option that serving it here takes, where only another key than your own has signed code or a pickle."""
    if key is None or packed.own or not needs_signature(packed.manifest):
        return ""
    if not packed.manifest.code:
        return f" --trust {shlex.quote(str(key.with_suffix('.pub')))}"
    return f" --trust {shlex.quote(str(key.with_name('trust.toml')))}"


def run_pack(
    model: object,
    sample: Path,
    *,
    steps: Steps,
    target: str | None = None,
    name: str | None = None,
    output: Path | None = None,
    config_path: Path | None = None,
    python: str | None = None,
    with_native: bool = False,
    allow_pickle: bool = False,
    key: Path | None = None,
    robustness: bool = False,
    holdout: Path | None = None,
) -> "Packed":
    """Packs, and tells each step as it is done."""
    from aweigh.packing import pack as make

    config: Config | None = None
    if config_path is not None:
        from aweigh.config import read_config

        config = read_config(config_path)
    at = time.monotonic()
    kept: list[tuple[str, str, float]] = []

    bars = ExitStack()
    bar: Progress | None = None

    def watch(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = bars.enter_context(steps.progress("robust", total=total, unit="rounds"))
        bar.add(max(0, done - bar.done))

    def tell(step: str, text: str) -> None:
        nonlocal at
        bars.close()
        now = time.monotonic()
        if step == "bundle":
            kept.append((step, text, now - at))
        else:
            steps.line(step, text, seconds=now - at)
        at = now

    with bars:
        packed = make(model, sample, target=target, name=name, output=output, config=config, python=python,
                      with_native=with_native, allow_pickle=allow_pickle,
                      key=None if key is None else private_key(key), robustness=robustness, holdout=holdout,
                      tell=tell, watch=watch)  # fmt: skip
    for step, text, _ in kept:
        steps.line(step, text, figure=human_size(packed.size_bytes))
    for note in packed.notes:
        steps.line("note", note)
    return packed


def document(packed: "Packed") -> dict[str, object]:
    """What ``--json`` prints."""
    manifest = packed.manifest
    return {
        "path": str(packed.path),
        "name": manifest.name,
        "digest": packed.digest,
        "size_bytes": packed.size_bytes,
        "model": manifest.model,
        "runtime": manifest.runtime,
        "runtime_reason": manifest.runtime_reason,
        "alternatives": msgspec.to_builtins(manifest.alternatives),
        "alternatives_reason": manifest.alternatives_reason,
        "proof": msgspec.to_builtins(manifest.proof),
        "schema": msgspec.to_builtins(packed.schema),
        "personal": [
            {
                "column": one.column,
                "kind": one.kind,
                "why": one.why,
                "policy": None if one.predicted else one.policy,
                "used": one.used,
                "becomes": one.becomes,
            }
            for one in packed.personal
        ],
        "notes": list(packed.notes),
    }
