"""The documentation does not rot: links lead somewhere, every page can be found, generated pages are current."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from aweigh.cli import cli
from aweigh.config import Config, read_config
from aweigh.data import penguins_path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.md")] if path.stat().st_size
)
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(
    r"!?\[(?:[^\]]|\](?!\())*?\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE
)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get where it is read: lower case, hyphens, no punctuation."""
    found: dict[str, int] = {}
    for match in HEADING.finditer(FENCE.sub("", text)):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1])
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def links(text: str) -> list[str]:
    """Return the targets of a page's links and pictures, code left out."""
    return [one or other for one, other in LINK.findall(CODE.sub("", FENCE.sub("", text)))]


def broken(page: Path, root: Path = ROOT) -> list[str]:
    """Return those relative links of a page that lead nowhere, or out of the repository."""
    text = page.read_text(encoding="utf-8")
    found = []
    for target in links(text):
        if re.match(r"[a-z][a-z0-9+.\-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        leads = path.exists() and path.is_relative_to(root)
        if leads and anchor and path.suffix == ".md":
            leads = anchor in anchors(path.read_text(encoding="utf-8"))
        if not leads:
            found.append(target)
    return found


def commands(group: click.Group, path: str = "aweigh") -> list[str]:
    """Return the full names of all commands below a group."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if command is not None and not command.hidden:
            found.append(f"{path} {name}")
            found += commands(command, f"{path} {name}") if isinstance(command, click.Group) else []
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    assert broken(page) == []


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`, three!\n"
        "[a](no.md) ![b](no.png) [c](#one-two-three) [d](#no) `[e](code.md)` [f](page.md#one-two-three) [g](/)\n"
        "[h]: https://example.org/\n"
    )
    assert anchors(page.read_text()) == {"one-two-three"}
    assert broken(page, tmp_path) == ["no.md", "no.png", "#no", "/"]


def test_every_page_is_in_the_index():
    index = DOCS / "README.md"
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(index.read_text(encoding="utf-8"))}
    assert sorted(str(page.relative_to(DOCS)) for page in {*DOCS.rglob("*.md")} - {index} - listed) == []


def test_every_page_belongs_to_one_of_the_four_kinds():
    kinds = {"tutorials", "how-to", "reference", "explanation"}
    assert {page.relative_to(DOCS).parts[0] for page in DOCS.rglob("*.md")} - kinds == {"README.md"}


def test_every_command_has_a_section_and_the_page_is_current():
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    headings = HEADING.findall(FENCE.sub("", text))
    assert [name for name in commands(cli) if name not in headings] == []
    done = subprocess.run(
        [sys.executable, "tools/cli_reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def keys_of(struct: type[msgspec.Struct], prefix: str = "") -> set[str]:
    """Return the dotted names of all keys of a section, `*` standing for a name that the owner chooses."""
    found = set()
    for field in msgspec.structs.fields(struct):
        name = f"{prefix}{field.encode_name}"
        kind = msgspec.inspect.type_info(field.type)
        if isinstance(kind, msgspec.inspect.StructType):
            found |= keys_of(kind.cls, f"{name}.")
        elif isinstance(kind, msgspec.inspect.DictType) and isinstance(kind.value_type, msgspec.inspect.StructType):
            found |= keys_of(kind.value_type.cls, f"{name}.*.")
        else:
            found.add(name)
    return found


def written_in(document: dict[str, object], known: set[str]) -> set[str]:
    """Return the keys of a configuration as `keys_of` names them."""
    written = set()
    for section, content in document.items():
        for name, value in content.items():
            inner = isinstance(value, dict) and f"{section}.{name}" not in known
            written |= {f"{section}.*.{key}" for key in value} if inner else {f"{section}.{name}"}
    return written


def test_the_example_configuration_has_every_key_and_explains_each():
    """A key is explained beside it or above it; the file is valid as it stands, for the penguins that it speaks of."""
    example = ROOT / "aweigh.example.toml"
    config = read_config(example)
    assert config.columns.keys() <= set(penguins_path().read_text(encoding="utf-8").splitlines()[0].split(","))
    text = example.read_text(encoding="utf-8")
    known = keys_of(Config)
    assert known - written_in(tomllib.loads(text), known) == set()
    lines = text.splitlines()
    assignments = [number for number, line in enumerate(lines) if re.match(r"[\w\"-]+ *=", line)]
    # One comment may be for several keys that follow it: what stands above them is not a heading.
    bare = []
    for number in assignments:
        above = next(line for line in reversed(lines[:number]) if not re.match(r"[\w\"-]+ *=", line))
        if "#" not in lines[number] and not above.startswith("#"):
            bare.append(lines[number])
    assert bare == []


def test_the_design_names_the_layers_that_are_enforced():
    tree = ast.parse((ROOT / "tests" / "test_layers.py").read_text(encoding="utf-8"))
    value = next(
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    )
    enforced = {(layer, name) for layer, names in ast.literal_eval(value).items() for name in names}
    text = (DOCS / "explanation" / "design.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^ ?(-?\d+) (\w+)(?:\.py|/)", text, re.MULTILINE)
    assert {(int(layer), name) for layer, name in drawn} == enforced


def test_every_make_target_that_the_pages_name_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", text, re.MULTILINE))
    assert {"test", "demo"} <= named
    assert named - targets == set()


def test_the_threat_model_names_tests_that_there_are():
    text = (ROOT / "docs/explanation/threat-model.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`", text)
    assert len(named) >= 20
    missing = [
        f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []


SECTIONS = (5, 4, 7, 4, 4, 8, 6, 4, 2, 7, 7, 3, 4, 3, 4, 5, 3)
"""How many sections each chapter of ASVS 5.0.0 has, from the first to the 17th."""


def is_requirement(text: str) -> bool:
    """Return whether a text is the number of a requirement in a section that the standard has."""
    found = re.fullmatch(r"([1-9]\d?)\.([1-9])\.([1-9]\d?)", text)
    return found is not None and int(found[1]) <= len(SECTIONS) and int(found[2]) <= SECTIONS[int(found[1]) - 1]


def test_the_threat_model_names_requirements_that_the_standard_may_have():
    text = (ROOT / "docs/explanation/threat-model.md").read_text(encoding="utf-8")
    part = text.partition("\n| control | answers |")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[1] for line in part.splitlines() if line.startswith("| ") and "::test_" in line]
    answers = [one for cell in cells for one in cell.removeprefix("ASVS ").split(", ")]
    assert [one for one in answers if not (is_requirement(one) or re.fullmatch(r"—|ML\d\d|AML\.T\d{4}", one))] == []
    numbers = re.findall(r"\d+(?:\.\d+)+", CODE.sub("", part))
    assert len(numbers) >= 80
    assert [one for one in numbers if not is_requirement(one)] == []
    assert [one for one in ("0.1.1", "18.1.1", "9.3.1", "8.2", "8.2.1.1", "V8.2.1", "") if is_requirement(one)] == []
