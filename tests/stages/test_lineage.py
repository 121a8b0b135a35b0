"""What a directory was made from, as people are shown it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.stages.files import fingerprint_json
from nlcli.stages.lineage import describe_path, print_lineage
from nlcli.stages.stage import open_stage
from worlds.stage_builders import MakeConfig


def test_an_input_of_which_there_is_nothing_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, missing in (("whole", []), ("half", ["a.jpg"])):
        inputs = {"table": fingerprint_json("the table"), "missing": fingerprint_json(missing)}
        with open_stage("dataset", MakeConfig(output=tmp_path / name, size=1), inputs) as stage:
            stage.finish({})
        capsys.readouterr()
        print_lineage(describe_path(tmp_path / name))
        made_from = capsys.readouterr().out.split("made from")[1]
        assert "table: sha256:" in made_from
        assert ("missing: " in made_from) == bool(missing)
