"""A script that uses all that ``nlcli`` offers; never run, but checked by mypy --strict."""

from __future__ import annotations

from pathlib import Path

import nlcli
from nlcli import FeatureStore, Head, LabelTable, StageRecord, choose_clean, load_head, read_dataset, read_stage

print(nlcli.__version__)
digits: Path = nlcli.build_digits(output="digits", kind="scenes", size=64, seed=1)
predictions = nlcli.annotate(images=[digits / "images"], output=Path("p"), classifier=digits / "c", keep=8, force=True)
coco = nlcli.build_coco(
    train_images=digits / "images" / "train",
    train_annotations=digits / "train.json",
    val_images="val",
    val_annotations="val.json",
    predictions=predictions,
    output="coco",
)
photos = nlcli.build_folders(images="photos", output="data", verified=["validation", "test"], classes=None)
nlcli.build_tags(table="tags.csv", output="tags", images="photos", verified_means="full", draw_from="all")
nlcli.build_clothing1m(root="c", output="clothing", limit=100)
nlcli.build_food101n(root="f", food101="g", output="food", train="food-101")
nlcli.build_webvision(root="w", output="web", sources=("google",), condition="all", allow_missing=0.1)
nlcli.build_openimages(root="o", output="open", clean_share=0.25)
imported = nlcli.import_weights(weights="caffenet.npz", network="alexnet", output="caffenet", resize="crop")
noisy = nlcli.add_noise(dataset=photos, output="noisy", kind="pair", rate=0.4, splits=["train"])
nlcli.add_noise(dataset=coco, output="tags", kind="co-occurrence", drop=0.3, add=0.2, rates="rates.csv")
unique = nlcli.deduplicate(dataset=noisy, output="unique", hash_bits=2, workers=2)
backbone = nlcli.pretrain_backbone(dataset=unique, output="backbone", labels="noisy", learning_rate=1e-3, xla=False)
features = nlcli.extract_features(dataset=unique, backbone=backbone, output="features", dtype="float16")
vectors = nlcli.import_features(dataset=unique, source="v.npy", keys="keys.txt", output="vectors", network="dino")
detection = nlcli.detect_noise(dataset=unique, features=features, output="d", options={"neighbours": 5}, hold_out=2)
clean = nlcli.clean_labels(dataset=unique, source=detection, output="c", policy="drop", precision=0.8, export=["csv"])
nlcli.restore_labels(dataset=clean, output="again")
nlcli.suggest(dataset=unique, source=detection, output="q", goal="train", count=100, random=0.3, splits=["train"])
nlcli.import_verification(dataset=unique, answers=["a.json", "b.xml"], suggestion="q", output="v", conflicts="newest")
run = nlcli.train_head(dataset=unique, features=features, output="run", method="residual", options={"alpha": 0.2})
nlcli.detect_noise(dataset=coco, features=features, output="w", from_run=run, score="clean", others=5, floor=0.1)
nlcli.train_head(dataset=unique, from_images="resnet50", output="r", flip="none", trunk="trained", detection=detection)
evaluation: Path = nlcli.evaluate(model=run, split="test", bootstrap=0)
nlcli.compare(evaluations=[evaluation], output="report")
nlcli.analyse(evaluations=(evaluation, "other"), output="analysis", groups=5)
page: Path = nlcli.report(
    directories=[photos, detection, evaluation], output="report.html", thumbnails=12, title="Mine"
)
nlcli.table(rows={"A": evaluation, "B": ["b-0", "b-1"]}, output="table", published="hu2018-table6", by="none")
exported: Path = nlcli.export_model(run=run, output="model", format="onnx", evaluation=evaluation, tolerance=1e-5)
counts: dict[str, int] = nlcli.predict(images="photos", run=run, format="csv", output="scores.csv", top=3)
cleaned = nlcli.clean(photos="photos", output="mine", checked=Path("checked.csv"), policy="suggest", export=["csv"])
classifier: nlcli.NoisyLabelClassifier = nlcli.NoisyLabelClassifier("residual", steps=9).fit([[0.1], [0.2]], [0, 1])
classifier.save("saved", force=True)
print(nlcli.LabelNoiseDetector(threshold=0.5).fit([[0.1], [0.2]], [0, 1], verified=[None, 1]).issues())
told = nlcli.track(directories=[run, "runs"], to="mlflow", at="mlruns")
print(told["logged"])
nlcli.tune(dataset=unique, features=features, output="tuned", method="veit", trials=9, search=["learning_rate"])
nlcli.register("method", "mine", "my_package.mine:Mine")

try:
    record: StageRecord = read_stage(run, "run")
    table: LabelTable = read_dataset(unique)
    head: Head = load_head(record.path)
    store: FeatureStore = FeatureStore(features)
    rows = table.rows("test")
    scores = head.score(store.read(store.rows_of(table.keys[rows])))
    print(scores.shape, len(choose_clean(table, 0.05, seed=0)))
except nlcli.NlcliError as error:
    print(error)
