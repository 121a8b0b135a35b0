"""Names and what they stand for: ours, registered by code, offered by packages, and everything that can be wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlcli import registry
from nlcli.detection import DETECTORS
from nlcli.detection.base import Detector
from nlcli.errors import NlcliError
from nlcli.methods import METHODS
from nlcli.registry import Catalogue
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


# --- the command line ------------------------------------------------------------------------


def test_the_command_line_shows_them(tmp_path: Path) -> None:
    files = {"guesses/__init__.py": MODULE, "guesses/cards/guess.md": CARD}
    site = installed(tmp_path, "guessing", {"nlcli.detectors": {"guess": "guesses:Guess"}}, files)
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv = ['nlcli', 'detectors'] + sys.argv[1:]\n"
        "from nlcli.cli import main\n"
        "main()"
    )

    def run(*arguments: str) -> str:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert run().splitlines()[-1].split("  ")[-1] == "a guess at every label (Nobody 2020)"
    told = json.loads(run("guess", "--json"))
    assert (told["card"], told["citation"], told["soft_weights"]) == (CARD, "@misc{guess}", False)
