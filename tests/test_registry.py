"""Names and what they stand for: ours, registered by code, offered by packages, and everything that can be wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nlcli import registry
from nlcli.cli import app
from nlcli.detection import DETECTORS
from nlcli.detection.base import Detector
from nlcli.errors import NlcliError
from nlcli.methods import METHODS
from nlcli.registry import Catalogue
from nlcli.stages.commands import SOURCES, find_stage
from worlds.packages import installed

MODULE = '''\
from pydantic import BaseModel, Field

from nlcli.detection.base import Detector, DetectorConfig


class GuessConfig(DetectorConfig):
    luck: float = Field(0.5, ge=0, le=1, description="How much of it.")


class Guess(Detector):
    """Guesses.

    Not more than that.
    """

    name = "guess"
    title = "guessing"
    citation = "@misc{guess}"
    Config = GuessConfig
    uses_verification = False

    def fit(self, data, seed, work): ...

    def score(self, features, noisy, rows=None): ...
'''
CARD = "# `guess`: a guess at every label (Nobody 2020)\n\nIt guesses.\n"


@pytest.fixture
def detectors() -> Catalogue[Any, Any]:
    """A registry of detectors of its own: nothing that it was told or has told stays with another test."""
    ours = {
        "naive": "nlcli.detection.detectors.naive:Naive",
        "knn": "nlcli.detection.detectors.knn:Knn",
    }
    return Catalogue(
        "detector", "nlcli.detectors", ours, "nlcli.detection.base:Detector", lambda cls: {"soft": cls.soft}
    )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs packages for the length of a test: ``site(name, {detector: "module:class"}, files)``."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def install(name: str, points: dict[str, str], files: dict[str, str]) -> Path:
        return installed(tmp_path, name, {"nlcli.detectors": points}, files)

    yield install
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) and str(tmp_path) in str(sys.modules[module].__file__):
            del sys.modules[module]


class Mine(Detector):
    """Mine alone.

    It is like no other.
    """

    name = "mine"
    title = "mine"
    citation = "@misc{mine}"
    uses_verification = False

    def fit(self, data: Any, seed: int, work: Path) -> None: ...

    def score(self, features: Any, noisy: Any, rows: Any = None) -> Any: ...


# --- ours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("catalogue", [METHODS, DETECTORS], ids=["methods", "detectors"])
def test_ours_are_listed_in_their_order_and_described(catalogue: Catalogue[Any, Any]) -> None:
    rows = [row for row in catalogue.listing() if row["name"] in catalogue.ours]
    assert [row["name"] for row in rows] == list(catalogue.ours)
    assert all(row["title"] and row["paper"] for row in rows)
    name = catalogue.ours[0]
    assert catalogue.describe(name)["title"] == rows[0]["title"]
    json.dumps(catalogue.describe(name))


def test_the_list_and_a_name_of_ours_need_no_import() -> None:
    program = (
        "import sys\n"
        "from nlcli.methods import METHODS\n"
        "from nlcli.detection import DETECTORS\n"
        "METHODS.listing(), DETECTORS.listing()\n"
        "assert 'residual' in METHODS\n"
        "print([m for m in sys.modules if m.startswith(('nlcli.methods.', 'nlcli.detection.detectors.'))])\n"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() in ("[]", "['nlcli.detection.detectors']")


def test_unknown_names_options_and_presets(detectors: Catalogue[Any, Any]) -> None:
    with pytest.raises(NlcliError, match=r"^unknown detector 'knm'; did you mean 'knn'\?$"):
        detectors.get("knm")
    with pytest.raises(NlcliError, match=r"^unknown detector 'x'; known: knn, naive$"):
        detectors.describe("x")
    with pytest.raises(NlcliError, match=r"^detector knn: unknown option 'neighbors'; did you mean 'neighbours'\?$"):
        detectors.configure("knn", {"neighbors": 3})
    with pytest.raises(NlcliError, match=r"^detector naive: unknown option 'k'; it has none$"):
        detectors.configure("naive", {"k": 3})
    with pytest.raises(NlcliError, match=r"^detector naive: unknown preset 'paper'; it has none$"):
        detectors.configure("naive", {}, "paper")
    with pytest.raises(NlcliError, match=r"^method residual: unknown preset 'coc'; did you mean 'coco'\?$"):
        METHODS.configure("residual", {}, "coc")
    assert detectors.configure("knn", {"neighbours": "3"}).neighbours == 3


# --- registered by code ----------------------------------------------------------------------


def test_registered_by_code(detectors: Catalogue[Any, Any]) -> None:
    detectors.register("mine", Mine)
    assert detectors.get("mine") is Mine
    assert detectors.names() == ["naive", "knn", "mine"]
    assert "mine" in detectors
    assert list(detectors) == detectors.names()
    assert detectors.ours == ("naive", "knn")
    assert detectors.listing()[-1] == {
        "name": "mine",
        "title": "Mine alone",
        "paper": f"registered as {Mine.__module__}:Mine",
    }
    card = detectors.describe("mine")
    assert card["card"] == f"# `mine`: Mine alone (registered as {Mine.__module__}:Mine)\n\nIt is like no other.\n"
    assert (card["citation"], card["options"], card["soft"]) == ("@misc{mine}", {}, False)


def test_a_name_that_is_taken_is_refused(detectors: Catalogue[Any, Any], site: Any) -> None:
    with pytest.raises(NlcliError, match="there is a detector 'knn' already .*Knn.; choose another name"):
        detectors.register("knn", Mine)
    detectors.register("mine", Mine)
    detectors.register("mine", Mine)  # as a notebook does that runs a cell again
    with pytest.raises(NlcliError, match=r"there is a detector 'mine' already"):
        detectors.register("mine", "elsewhere:Mine")
    site("guessing", {"guess": "guessing:Guess"}, {"guessing.py": MODULE})
    with pytest.raises(NlcliError, match="detector 'guess' is offered by the package guessing; choose another name"):
        detectors.register("guess", Mine)


def test_what_is_no_detector_is_refused_at_once(detectors: Catalogue[Any, Any]) -> None:
    with pytest.raises(NlcliError, match=r"^detector 'mine' \(builtins:int\) is not a subclass of Detector"):
        detectors.register("mine", 3)
    with pytest.raises(NlcliError, match=r"calls itself 'mine'; give it the name that it is offered by"):
        detectors.register("yours", Mine)
    with pytest.raises(NlcliError, match=r"^source 'build-mine' \(builtins:int\) is no StageCommand"):
        registry.register("source", "build-mine", 3)


@pytest.mark.parametrize("name", ["Mine", "my detector", "../mine", "-mine", "", "mine_2", "2mine"])
def test_names_fit_the_command_line(name: str, detectors: Catalogue[Any, Any]) -> None:
    with pytest.raises(NlcliError, match="is no name of a detector: it takes small letters, digits and hyphens"):
        detectors.register(name, Mine)


def test_the_door_finds_the_registry_by_the_kind() -> None:
    assert registry.registry_of("method") is METHODS
    assert registry.registry_of("detector") is DETECTORS
    with pytest.raises(NlcliError, match="unknown kind of thing to register 'methods'; did you mean 'method'"):
        registry.register("methods", "mine", Mine)
    with pytest.raises(NlcliError, match="there is a method 'residual' already"):
        registry.register("method", "residual", Mine)


# --- offered by packages ---------------------------------------------------------------------


def test_a_package_s_detector_is_one_like_ours(detectors: Catalogue[Any, Any], site: Any) -> None:
    site("guessing", {"guess": "guesses.more:Guess"}, {"guesses/__init__.py": "", "guesses/more.py": MODULE})
    assert detectors.names() == ["naive", "knn", "guess"]
    assert detectors.get("guess").title == "guessing"
    assert detectors.configure("guess", {"luck": 0.75}).luck == 0.75
    with pytest.raises(NlcliError, match="detector guess: option 'luck': .*less than or equal to 1"):
        detectors.configure("guess", {"luck": 2})
    assert detectors.listing()[-1] == {"name": "guess", "title": "Guesses", "paper": "package guessing"}
    assert detectors.describe("guess")["options"] == {"luck": {"default": 0.5, "description": "How much of it."}}


def test_its_card_stands_beside_its_module_and_lists_need_no_import(detectors: Catalogue[Any, Any], site: Any) -> None:
    files = {"guesses/__init__.py": "", "guesses/more.py": MODULE, "guesses/cards/guess.md": CARD}
    site("guessing", {"guess": "guesses.more:Guess"}, files)
    assert detectors.listing()[-1] == {"name": "guess", "title": "a guess at every label", "paper": "Nobody 2020"}
    assert "guesses.more" not in sys.modules
    assert detectors.describe("guess")["card"] == CARD


def test_a_single_module_has_its_cards_beside_it(detectors: Catalogue[Any, Any], site: Any) -> None:
    site("guessing", {"guess": "guess_alone:Guess"}, {"guess_alone.py": MODULE, "cards/guess.md": CARD})
    assert detectors.describe("guess")["card"] == CARD


@pytest.mark.parametrize(
    ("point", "files", "sentence"),
    [
        (
            "nowhere:Guess",
            {},
            r"\(package broken\) cannot be imported: No module named 'nowhere'; mend or uninstall it",
        ),
        ("empty:Guess", {"empty.py": ""}, r"\(package broken\) cannot be imported: module 'empty' has no attribute"),
        ("fails:Guess", {"fails.py": "1 / 0"}, r"\(package broken\) cannot be imported: division by zero"),
        ("exits:Guess", {"exits.py": "import sys\nsys.exit(3)"}, r"\(package broken\) cannot be imported: 3"),
        ("plain:Guess", {"plain.py": "class Guess: ..."}, r"\(package broken\) is not a subclass of Detector"),
        ("number:Guess", {"number.py": "Guess = 3"}, r"\(package broken\) is not a subclass of Detector"),
        (
            "silent:Guess",
            {"silent.py": "from nlcli.detection.base import Detector\nclass Guess(Detector): ..."},
            r"\(package broken\) does not state name and citation, as every detector does",
        ),
        (
            "other:Guess",
            {"other.py": MODULE.replace('name = "guess"', 'name = "gues"')},
            r"\(package broken\) calls itself 'gues'; give it the name that it is offered by",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) and ":" in value else "",
)
def test_a_broken_package_is_a_sentence_and_hurts_no_other(
    point: str, files: dict[str, str], sentence: str, detectors: Catalogue[Any, Any], site: Any, capsys: Any
) -> None:
    site("broken", {"guess": point}, files)
    site("whole", {"luck": "whole:Luck"}, {"whole.py": MODULE.replace("Guess(", "Luck(").replace('"guess"', '"luck"')})
    assert detectors.get("naive").title == "naive baseline"
    with pytest.raises(NlcliError, match=r"^detector 'guess' " + sentence):
        detectors.get("guess")
    assert [row["name"] for row in detectors.listing()] == ["naive", "knn", "luck"]
    detectors.listing()
    assert capsys.readouterr().err.count("detector 'guess'") == 1  # told once


def test_names_that_clash_are_told_and_left_out(detectors: Catalogue[Any, Any], site: Any, capsys: Any) -> None:
    site("a", {"knn": "guessing:Guess", "twice": "guessing:Guess", "Big": "guessing:Guess"}, {"guessing.py": MODULE})
    site("b", {"twice": "guessing:Guess"}, {})
    assert detectors.names() == ["naive", "knn"]
    assert detectors.get("knn").title == "kNN"
    said = capsys.readouterr().err
    assert "package a offers a detector 'knn', a name of nlcli's own: it is not used" in said
    assert "packages a and b each offer a detector 'twice': none of them is used; uninstall one" in said
    assert "package a: 'Big' is no name of a detector" in said
    with pytest.raises(NlcliError, match="unknown detector 'twice'"):
        detectors.get("twice")


def test_a_malformed_card_of_a_package(detectors: Catalogue[Any, Any], site: Any, capsys: Any) -> None:
    files = {"guessing/__init__.py": MODULE, "guessing/cards/guess.md": "# Guess\n"}
    site("guessing", {"guess": "guessing:Guess"}, files)
    with pytest.raises(
        NlcliError, match=r"the card of detector 'guess' does not begin with '# `guess`: TITLE \(PAPER\)'"
    ):
        detectors.describe("guess")
    assert [row["name"] for row in detectors.listing()] == ["naive", "knn"]
    assert "the card of detector 'guess'" in capsys.readouterr().err


def test_a_card_that_is_no_text(detectors: Catalogue[Any, Any], site: Any, capsys: Any, tmp_path: Path) -> None:
    site("guessing", {"guess": "guessing:Guess"}, {"guessing/__init__.py": MODULE, "guessing/cards/guess.md": CARD})
    (tmp_path / "guessing" / "cards" / "guess.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NlcliError, match="the card of detector 'guess' cannot be read: 'utf-8' codec"):
        detectors.describe("guess")
    assert [row["name"] for row in detectors.listing()] == ["naive", "knn"]


# --- the command line ------------------------------------------------------------------------


def test_the_command_line_shows_them(site: Any) -> None:
    site("guessing", {"guess": "guesses:Guess"}, {"guesses/__init__.py": MODULE, "guesses/cards/guess.md": CARD})
    listed = CliRunner().invoke(app, ["detectors"]).stdout.splitlines()
    assert listed[-1].split("  ")[-1] == "a guess at every label (Nobody 2020)"
    told = json.loads(CliRunner().invoke(app, ["detectors", "guess", "--json"]).stdout)
    assert (told["card"], told["citation"], told["soft_weights"]) == (CARD, "@misc{guess}", False)


# --- sources ---------------------------------------------------------------------------------

SOURCE = """\
from nlcli.stages.commands import StageCommand

SOURCE = StageCommand(
    "build-dots",
    "Make images of dots, for nobody.",
    "dots.build:BuildDots",
    "dots.build:build_dots",
    "nlcli build-dots --output data/dots",
)
"""
BUILD = '''\
from typing import Annotated

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output
from nlcli.stages.stage import open_stage


class BuildDots(StageConfig):
    """Make dots."""

    output: Output
    count: Annotated[int, Option("How many.", panel="Data", ge=1)] = 3


def build_dots(config, *, force=False):
    """Write a file of dots."""
    with open_stage("dots", config, {}, force=force) as stage:
        if not stage.up_to_date:
            (stage.work / "dots.txt").write_text("." * config.count)
            stage.finish({"dots": config.count})
    return stage.output
'''
FILES = {"dots/__init__.py": SOURCE, "dots/build.py": BUILD}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs packages with sources for the length of a test."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, points: dict[str, str], files: dict[str, str]) -> None:
        installed(tmp_path, name, {"nlcli.sources": points}, files)

    yield install
    for module in [m for m in sys.modules if m.partition(".")[0] == "dots"]:
        del sys.modules[module]


def test_a_source_is_a_command_a_stage_and_a_function(sources: Any, tmp_path: Path) -> None:
    sources("dotted", {"build-dots": "dots:SOURCE"}, FILES)
    assert SOURCES.get("build-dots").about == "Make images of dots, for nobody."
    listed = CliRunner().invoke(app, ["--help"], terminal_width=100).stdout
    assert "build-dots" in listed
    assert "Make images of dots, for nobody." in listed
    assert "dots.build" not in sys.modules  # it is only named
    about = CliRunner().invoke(app, ["build-dots", "--help"], terminal_width=100).stdout
    assert "--count" in about
    assert "Example: nlcli build-dots --output data/dots" in about
    made = CliRunner().invoke(app, ["build-dots", "--count", "5", "--output", str(tmp_path / "made")])
    assert made.exit_code == 0, made
    assert (tmp_path / "made" / "dots.txt").read_text() == "....."
    pipeline = tmp_path / "dots.yaml"
    pipeline.write_text("stages:\n- {name: dots, run: build-dots, with: {count: 7}}\n")
    ran = CliRunner().invoke(app, ["run", str(pipeline), "--workdir", str(tmp_path / "work")])
    assert ran.exit_code == 0, ran
    assert (tmp_path / "work" / "dots" / "dots.txt").read_text() == "......."


def test_sources_are_told_from_other_commands(sources: Any, capsys: Any) -> None:
    sources("dotted", {"dots": "dots:SOURCE", "build-coco": "dots:SOURCE", "build-broken": "nowhere:X"}, FILES)
    assert SOURCES.of_others() == {}
    told = capsys.readouterr().err
    assert "package dotted: 'dots' is no name of a source: it is a command, such as 'build-dots'" in told
    assert "package dotted offers a source 'build-coco', a name of nlcli's own: it is not used" in told
    assert "source 'build-broken' (package dotted) cannot be imported: No module named 'nowhere'" in told
    with pytest.raises(NlcliError, match=r"stage 2: unknown stage 'build-dot'; did you mean 'build-digits'"):
        find_stage("build-dot", "stage 2")
    with pytest.raises(NlcliError, match="calls itself 'build-dots'"):
        sources("other", {"build-points": "dots:SOURCE"}, {})
        SOURCES.get("build-points")


def test_a_broken_source_leaves_the_command_line_whole(sources: Any) -> None:
    sources("dotted", {"build-dots": "dots:SOURCE"}, {"dots/__init__.py": "1 / 0"})
    listed = CliRunner().invoke(app, ["--help"])
    assert listed.exit_code == 0
    assert "build-coco" in listed.output
