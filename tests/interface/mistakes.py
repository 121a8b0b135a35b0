"""Mistakes: mypy --strict must find one in every line that ends in ``# wrong``, and running it must fail."""

# ruff: noqa: F401, B018

from __future__ import annotations

import nlcli
from nlcli import eval as evaluation  # wrong
from nlcli import train_headd  # wrong

nlcli.train_headd(dataset="d", output="o")  # wrong
nlcli.eval(model="m")  # wrong
nlcli.Features  # wrong
nlcli.train_head(datasett="d", features="f", output="o")  # wrong
nlcli.train_head(dataset="d", features="f")  # wrong
nlcli.train_head("d", features="f", output="o")  # wrong
nlcli.train_head(dataset="d", features="f", output="o", seed="one")  # wrong
nlcli.train_head(dataset="d", features="f", output="o", order="suffled")  # wrong
nlcli.train_head(dataset="d", features="f", output="o", options=["alpha=0.2"])  # wrong
nlcli.train_head(dataset=3, features="f", output="o")  # wrong
nlcli.compare(evaluations=3, output="o")  # wrong
nlcli.evaluate(model=["a", "b"])  # wrong
nlcli.evaluate(models="a")  # wrong
nlcli.evaluate(model="a", split="dev")  # wrong
nlcli.build_folders(images="i", output="o", verified=["dev"])  # wrong
nlcli.build_tags(table="t.csv", output="o", verified_means="all")  # wrong
nlcli.table(rows=["a"], output="o")  # wrong
nlcli.predict(images="i", run="r", format="xml")  # wrong
nlcli.predict(images="i", run="r", force=True)  # wrong
nlcli.build_digits(output="o", train_images=[4])  # wrong
nlcli.read_dataset()  # wrong
nlcli.NoisyLabelClassifier("noisy", alpha=0.2)  # wrong
nlcli.track(directories=["runs"], to="wandb")  # wrong
