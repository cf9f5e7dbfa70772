"""aweigh.toml: what the owner says of a model beyond what its sample shows.

Every key is in ``aweigh.example.toml``, with what it does. Unknown keys are errors, with the nearest name.
"""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from aweigh.errors import ConfigError

FILE_NAME = "aweigh.toml"
Scalar = str | int | float | bool
DomainWord = Literal["flag", "reject", "ignore"]


class ColumnConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[columns.NAME]``: one input column."""

    title: str | None = None
    description: str | None = None
    unit: str | None = None
    group: str | None = None
    type: str | None = None
    nullable: bool | None = None
    minimum: float | int | str | None = None
    maximum: float | int | str | None = None
    lower_limit: float | int | str | None = None
    upper_limit: float | int | str | None = None
    categories: tuple[str, ...] | None = None
    closed: bool | None = None
    default: Scalar | None = None
    domain: DomainWord | None = None
    personal: Literal["drop", "hash", "keep", "no"] | None = None


class DomainConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[domain]``: what becomes of rows outside what the model has seen."""

    columns: DomainWord = "flag"
    combination: DomainWord = "flag"


class OutputConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[output]``: what is predicted."""

    name: str | None = None
    description: str | None = None
    unit: str | None = None
    labels: dict[str, str] = {}


class AppConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[app]``: what the page says of itself."""

    title: str | None = None
    description: str | None = None
    accent: str | None = None
    footer: str | None = None


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[model]``: the model, for its card."""

    name: str | None = None
    intended_use: str | None = None
    not_intended_for: str | None = None
    training_data: str | None = None
    metrics: dict[str, float] = {}
    contact: str | None = None
    licence: str | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of ``aweigh.toml``."""

    model: ModelConfig = ModelConfig()
    app: AppConfig = AppConfig()
    output: OutputConfig = OutputConfig()
    domain: DomainConfig = DomainConfig()
    columns: dict[str, ColumnConfig] = {}


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "model": ModelConfig, "app": AppConfig, "output": OutputConfig, "domain": DomainConfig
}  # fmt: skip
_ACCENT = re.compile(r"#[0-9a-fA-F]{6}\Z")


def read_config(path: Path) -> Config:
    """The file as a value.

    Raises:
        ConfigError: no TOML, an unknown key (the nearest is offered) or a value of the wrong type.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ConfigError(f"{path.name} is nested too deeply.") from error
    except (OSError, ValueError) as error:  # no TOML, no UTF-8, or a number of more digits than Python reads
        raise ConfigError(f"{path.name} cannot be read: {error}.") from error
    _refuse_unknown_keys(document, path.name)
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path.name}: {error}.", hint="aweigh.example.toml shows every key") from error
    if config.app.accent is not None and not _ACCENT.match(config.app.accent):
        raise ConfigError(f"{path.name}: app.accent is {config.app.accent!r}.", hint="write a colour as #0b6e99")
    return config


def find_config(beside: Path) -> Config:
    """The ``aweigh.toml`` in the folder of ``beside``, or the defaults when there is none."""
    path = beside.parent / FILE_NAME
    return read_config(path) if path.is_file() else Config()


def _refuse_unknown_keys(document: dict[str, object], file_name: str) -> None:
    _refuse(document, Config, "", file_name)
    for section, struct in _SECTIONS.items():
        _refuse(document.get(section), struct, f"{section}.", file_name)
    columns = document.get("columns")
    for name, column in columns.items() if isinstance(columns, dict) else ():
        _refuse(column, ColumnConfig, f"columns.{name}.", file_name)


def _refuse(table: object, struct: type[msgspec.Struct], prefix: str, file_name: str) -> None:
    if not isinstance(table, dict):
        return
    known = struct.__struct_fields__
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(known)}"
            raise ConfigError(f"{file_name} has an unknown key {prefix}{key}.", hint=hint)
