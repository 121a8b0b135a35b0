"""The documentation: links lead somewhere, commands and options exist, scripts run, minutes agree, the site holds together."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from nlcli.stages.commands import STAGES
from tools import check_site, site_pages
from tools.command_pages import every_command, kind, row, shown, wrapped
from worlds.colours import write_colours

ROOT = Path(__file__).parents[1]
GUIDES = sorted([*ROOT.glob("*.md"), ROOT / "data" / "README.md", *(ROOT / "docs").rglob("*.md")])
CARDS = sorted((ROOT / "nlcli").rglob("cards/*.md"))
PAGES = [*GUIDES, *CARDS]
FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in one of the languages."""
    text = page.read_text(encoding="utf-8")
    return [match["code"] for match in FENCED.finditer(text) if match["language"] in languages]


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


# --- links -----------------------------------------------------------------------------------


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_says_first_what_it_is_for(page: Path) -> None:
    """A title, then a sentence; and lists and tables stand apart, or the site shows them as prose."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert lines[1] == ""
    assert lines[2][0].isalpha() or lines[2][0] in "`*[" or page.name == "CHANGELOG.md", lines[2]
    text = prose(page).splitlines()
    for before, line in pairwise(text):
        if line.startswith(("- ", "| ")) and before:
            assert before.startswith(("- ", "| ", "|--", "  ")), line


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ("CONTRIBUTING.md", "architecture.md")], ids=name_of
)
def test_only_papers_have_figures(page: Path) -> None:
    """A number is a metric, a picture a plot; ``figure`` is one of a paper and has a number."""
    rest = re.sub(r"\bfigures? \d+|`[^`]*`", "", prose(page).replace("\n", " "))
    assert not re.findall(r"\bfigures?\b", rest, re.IGNORECASE)


# --- commands --------------------------------------------------------------------------------


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words behind ``nlcli`` of every command in a page, in blocks and in prose."""
    text = "\n".join(blocks(page, "console", "sh", "bash")).replace("\\\n", " ")
    for line in text.splitlines():
        match = re.match(r"\s*\$?\s*(?:\.venv/bin/)?nlcli (.+)", line)
        if match is not None:
            yield shlex.split(match[1], comments=True)
    for words in re.findall(r"`nlcli ([a-z][^`]*)`", prose(page)):
        yield shlex.split(words.replace("...", ""))


# What add-your-own.md adds is not ours; its commands are run by a test of its own.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "add-your-own.md"], ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    """Every ``nlcli COMMAND --option`` is one that the command line has, and methods and detectors are ours."""
    for name, *words in commands_of(page):
        assert name in every_command(), name
        for word in words:
            if re.fullmatch(r"--?[a-z][a-z0-9-]*", word):
                assert word in every_command()[name].flags(), f"nlcli {name} {word}"
        if "--method" in words and (method := words[words.index("--method") + 1]).islower():
            assert method in ours("detectors" if name == "detect-noise" else "methods"), method
        if name in ("methods", "detectors") and words and words[0].islower():
            assert words[0] in ours(name)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_options_in_prose_exist(page: Path) -> None:
    for option in re.findall(r"`(--[a-z][a-z0-9-]+)", prose(page)):
        assert any(option in command.flags() for command in every_command().values()) or option in (
            "--quiet",
            "--version",
        ), option


def ours(section: str) -> set[str]:
    """The names of the methods or of the detectors that have a card."""
    return {file.stem for file in (ROOT / site_pages.CARDS[section]).glob("*.md")}


def test_every_pipeline_is_listed() -> None:
    listed = set(re.findall(r"`(\w+\.yaml)`", (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")))
    assert {file.name for file in (ROOT / "pipelines").glob("*.yaml")} <= listed


@pytest.mark.parametrize("page", [page for page in GUIDES if blocks(page, "yaml")], ids=name_of)
def test_pipelines_in_pages_use_options_that_exist(page: Path) -> None:
    def check(stage: dict) -> None:
        if "stages" in stage:
            for inner in stage["stages"]:
                check(inner)
            return
        fields = STAGES[stage["run"]].config_class().model_fields
        assert set(stage["with"]) <= set(fields), stage["name"]

    for block in blocks(page, "yaml"):
        written = yaml.safe_load(block)
        for stage in written["stages"] if isinstance(written, dict) else written:
            check(stage)


# --- Python ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in GUIDES if blocks(page, "python")], ids=name_of)
def test_names_that_scripts_import_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "nlcli":
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nlcli":
                assert hasattr(importlib.import_module("nlcli"), node.attr), node.attr


OF_OTHER_TREES = ("CHANGELOG.md", "upgrading.md", "add-your-own.md")  # name what was, or is not ours


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OF_OTHER_TREES], ids=name_of)
def test_modules_and_files_in_prose_exist(page: Path) -> None:
    for file in re.findall(r"`((?:benchmarks|docs|nlcli|pipelines|tests|tools)/[\w./-]+)`", prose(page)):
        assert (ROOT / file).exists(), file
    for name in re.findall(r"`(nlcli(?:\.\w+)+)", prose(page)):
        if name not in ("nlcli.detectors", "nlcli.tag_detectors", "nlcli.sources"):  # entry points
            assert resolve(name) is not None, name


def resolve(name: str) -> object | None:
    """What a dotted name is; None if there is no such thing."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        if _is_module(module):
            value: object = importlib.import_module(module)
            for part in parts[count:]:
                value = getattr(value, part, None)
            return value
    return None


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.slow
def test_the_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/python.md as it stands, on a tiny COCO: only paths, the annotator and the lengths are replaced."""
    script = "\n".join(blocks(ROOT / "docs" / "python.md", "python"))
    replaced = {
        "data/coco/train2014": "world/train",
        "data/coco/val2014": "world/val",
        "data/coco/annotations/instances_train2014.json": "world/train.json",
        "data/coco/annotations/instances_val2014.json": "world/val.json",
        'output="data/coco-noisy",': 'output="data/coco-noisy", classifier="world/classifier", class_map="world/map.csv", top_k=2,',
        'backbone="resnet50"': 'backbone="small_cnn", weights="none", image_size=32, steps=5, batch_size=8',
        "clean_fraction=0.05": "clean_fraction=0.5, steps=50",
    }
    for old, new in replaced.items():
        assert old in script
        script = script.replace(old, new)
    (tmp_path / "world").mkdir()
    write_colours(tmp_path / "world")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(script, "docs/python.md", "exec"), names)
    assert names["scores"].shape == (len(names["rows"]), 3)
    assert (tmp_path / "runs" / "report" / "comparison.md").is_file()


# --- minutes ---------------------------------------------------------------------------------

NUMBER = r"(?P<minutes>\d+|one|two|three|four|five|six|seven|eight|nine|ten)"
NUMBERS = dict(
    zip(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], range(1, 11), strict=True)
)
MINUTES = {  # target of the Makefile: where else its minutes are told
    "demo": [
        ("README.md", rf"It takes {NUMBER} minutes on 2 cores"),
        ("docs/pipelines.md", rf"`demo\.yaml` .*nothing, {NUMBER} minutes"),
        ("docs/cost.md", rf"`make demo`.*\| {NUMBER} minutes"),
    ],
    "demo-single-label": [
        ("docs/pipelines.md", rf"`demo_single_label\.yaml` .*nothing, {NUMBER} minutes"),
        ("docs/cost.md", rf"`make demo-single-label`.*\| {NUMBER} minutes"),
    ],
    "test": [
        ("README.md", rf"`make test` .*on 2 cores in {NUMBER} minutes"),
        ("CONTRIBUTING.md", rf"make test +# .*: {NUMBER} minutes on 2 cores"),
    ],
}


@pytest.mark.parametrize("target", MINUTES)
def test_the_same_minutes_are_told_everywhere(target: str) -> None:
    """The Makefile's help is the place where they stand."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    stated = re.search(rf"^{target}: .*## .*?(\d+) minutes on 2 cores", makefile, re.MULTILINE)
    assert stated is not None
    for page, pattern in MINUTES[target]:
        told = re.search(pattern, (ROOT / page).read_text(encoding="utf-8"))
        assert told is not None, f"{page} does not tell the minutes of make {target}"
        assert NUMBERS.get(told["minutes"], told["minutes"]) in (int(stated[1]), stated[1]), f"{page}: make {target}"


# --- the site --------------------------------------------------------------------------------


def test_commands_become_tables() -> None:
    command = every_command()["eval"]
    assert command.example == "nlcli eval runs/noisy runs/residual --split test"
    options = {one.flags[0]: one for one in command.parameters}
    assert row(options["--output"]).startswith("| `--output`, `-o` | path | | Directory to write")
    assert options["model"].required
    assert options["model"].kind == "path, several"
    assert options["--split"].kind == "`train`, `validation`, `test`"
    assert options["--bootstrap"].default == "`1000`"
    assert options["--force"].kind == options["--force"].default == ""
    assert kind(float | None) == "number"
    assert [shown(value) for value in (None, False, [], ["a", "b"], 0.1)] == ["", "", "", "`a`, `b`", "`0.1`"]
    command_line = "nlcli eval a b --output " + "x" * 90 + " --json"
    assert wrapped(command_line).replace(" \\\n     ", "") == command_line
    assert [len(line) for line in wrapped(command_line).splitlines()] == [16, 107, 12]


def test_links_of_the_repository_become_links_of_the_site() -> None:
    text = (
        "[a](../nlcli/methods/cards/residual.md) [b](cli.md#x) [r](cli.md#nlcli-run) [c](../setup.cfg) "
        "[d](https://e.org)\n```\n[a](b)\n```\n"
    )
    assert site_pages.relinked(text, "docs/choosing.md", "choosing.md") == (
        "[a](methods/residual.md) [b](commands/index.md#x) [r](commands/run.md) c (`setup.cfg`) "
        "[d](https://e.org)\n```\n[a](b)\n```\n"
    )
    with pytest.raises(ValueError, match=r"docs/choosing\.md: the link to nowhere\.md leads nowhere"):
        site_pages.relinked("[a](nowhere.md)", "docs/choosing.md", "choosing.md")


def test_the_site_holds_every_page_once() -> None:
    """The navigation names each page of docs/ and each made one; their links lead to such pages."""

    def places(entries: list) -> Iterator[str]:
        for entry in entries:
            value = entry if isinstance(entry, str) else next(iter(entry.values()))
            if isinstance(value, list):
                yield from places(value)
            elif value.endswith("/"):
                yield from site_pages.section_pages(value.removesuffix("/"))
            else:
                yield value

    class WithoutTags(yaml.SafeLoader):
        """mkdocs.yml may name Python objects."""

    WithoutTags.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    navigation = list(places(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), WithoutTags)["nav"]))
    made = site_pages.made_pages()
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(navigation) == sorted({*(page.place for page in made), *(set(written) - {"cli.md"})})
    pictures = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.png")}
    for page in made:
        assert set(site_pages.links(page)) <= {*navigation, *pictures}, page.place


def test_made_pages_lead_to_headings_that_exist() -> None:
    """``make site`` finds a link to a heading that was renamed, and nobody makes the site for every change."""
    for page in site_pages.made_pages():
        for target, anchor in re.findall(r"\]\(([^)#\s]+\.md)#([^)]+)\)", FENCED.sub("", page.text)):
            there = (ROOT / "docs" / page.place).parent.joinpath(target).resolve()
            if there.is_file():  # other pages are made, too
                assert anchor in headings(there), f"{page.place}: {target}#{anchor}"


def test_faults_of_a_built_site_are_told(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="b.html#x">b</a> <a href="c.html">c</a> <a href="#here">h</a>')
    (tmp_path / "b.html").write_text('<h2 id="y">b</h2> <script src="https://e.org/x.js"></script>')
    assert sorted(check_site.faults(tmp_path)) == [
        "b.html: loads https://e.org/x.js from elsewhere",
        "index.html: #here has no such heading",
        "index.html: b.html#x has no such heading",
        "index.html: the link to c.html leads nowhere",
    ]
