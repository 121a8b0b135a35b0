"""The documentation: its links lead somewhere, its script runs, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nlcli.stages.commands import STAGES
from worlds.colours import write_colours

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "data" / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    """Every ``nlcli COMMAND --option`` in a code block is one that the command line has."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        found = re.match(r"\s*\$?\s*(?:\.venv/bin/)?nlcli ([a-z-]+)(.*)", line)
        if found is None or found[1] not in STAGES:
            continue
        fields = {f"--{name.replace('_', '-')}" for name in STAGES[found[1]].config_class().model_fields}
        fields |= {"--set", "--row", "--force", "--json", "--help", "-o", "-h"}
        for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", found[2].split("#")[0]):
            assert option in fields or option.replace("--no-", "--") in fields, f"{found[1]} {option}"


@pytest.mark.slow
def test_the_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/python.md as it stands, on a tiny COCO: only paths, the annotator and the lengths are replaced."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    script = "\n".join(blocks)
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
