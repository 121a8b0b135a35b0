"""The project's own files: what is installed, with which versions, and what `make` and the workflow run."""

from __future__ import annotations

import configparser
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CAPPED = {"tensorflow", "keras", "numpy"}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(text: str) -> dict[str, str]:
    """Name -> what is asked of its version."""
    matches = [re.fullmatch(r"([\w-]+)(?:\[[\w,-]+\])?(.*)", line) for line in text.split()]
    return {match[1]: match[2] for match in matches if match is not None}


def test_the_lowest_versions_that_are_tested_are_the_lower_bounds(setup: configparser.ConfigParser) -> None:
    lines = (ROOT / "requirements" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = setup["options.extras_require"]
    asked = requirements(setup["options"]["install_requires"])
    asked |= requirements(extras["cleanlab"]) | requirements(extras["tensorboard"])
    assert set(tested) == set(asked)
    for name, bounds in asked.items():
        lower = bounds.split(",")[0].removeprefix(">=")
        assert re.fullmatch(rf"{re.escape(lower)}(\.0)*", tested[name]), f"{name}: {bounds}, tested {tested[name]}"


def test_only_what_changes_results_has_an_upper_bound(setup: configparser.ConfigParser) -> None:
    texts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    assert {name for text in texts for name, bounds in requirements(text).items() if "<" in bounds} == CAPPED
    for text in texts:  # TensorFlow is named twice
        assert requirements(text).get("tensorflow", ">=2.20,<2.22") == ">=2.20,<2.22"


def test_everything_beside_the_code_is_installed(setup: configparser.ConfigParser) -> None:
    patterns = setup["options.package_data"]["nlcli"].split()
    for file in (ROOT / "nlcli").rglob("*"):
        if file.is_file() and file.suffix not in (".py", ".pyc"):
            path = file.relative_to(ROOT / "nlcli").as_posix()
            assert any(fnmatch(path, pattern) for pattern in patterns), path


def test_every_target_of_make_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z-]+):.*?  ## \S", text, re.MULTILINE))


def test_the_workflow_runs_every_python_that_is_admitted(setup: configparser.ConfigParser) -> None:
    admitted = set(re.findall(r":: (3\.\d+)", setup["metadata"]["classifiers"]))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))["jobs"]
    assert set(jobs["test"]["strategy"]["matrix"]["python"]) == admitted
    first, last = sorted(admitted)[0], sorted(admitted)[-1]
    assert setup["options"]["python_requires"] == f">={first},<3.{int(last.split('.')[1]) + 1}"
    for job in jobs.values():
        for step in job["steps"]:
            for target in re.findall(r"make ([a-z-]+)", step.get("run", "")):
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_hooks_before_a_commit_are_those_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert lint is not None
    programs = re.findall(r"\$\(BIN\)/(\w+(?: [a-z]+)?)", lint[1])
    assert [re.match(r"\.venv/bin/(\w+(?: [a-z]+)?)", hook["entry"])[1] for hook in hooks] == programs  # type: ignore[index]
