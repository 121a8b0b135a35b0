"""The tune stage: heads with other options than the defaults, the best by validation, and what that one is worth."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.console import print_pairs, print_table, progress, say
from nlcli.errors import NlcliError, printable
from nlcli.evaluation.comparison.compare import compare
from nlcli.evaluation.config import Evaluate
from nlcli.evaluation.evaluate import evaluate
from nlcli.methods import get_method
from nlcli.stages.files import write_csv
from nlcli.stages.stage import StageRecord, open_stage, read_stage
from nlcli.training.config import TrainHead
from nlcli.training.result import read_result
from nlcli.training.train_head import check_options as check_head_options
from nlcli.training.train_head import method_settings, train_head
from nlcli.tuning.config import Tune
from nlcli.tuning.journal import Journal, require_optuna
from nlcli.tuning.search_space import combinations, distributions, ranges
from nlcli.tuning.tuning_record import TRIALS, TUNING, Gain, Trial, TuningRecord

if TYPE_CHECKING:
    from nlcli.methods.base.contract import MethodConfig
    from nlcli.methods.base.search_range import Choice, Range

DEFAULTS, CHOSEN = "defaults", "chosen"
_BY = ("top_1", "AP_all")
_FEW = 200
_SHOWN = 5


def tune(config: Tune, *, force: bool = False) -> Path:
    """Train heads with options that a search proposes; the directory written.

    It holds ``tuning.json``, ``trials.csv``, the run ``defaults``, and the run ``chosen`` where one is better on
    validation. Validation alone chooses; test is looked at once, at the end, of these two.

    Raises:
        NlcliError: optuna is not installed, nothing is left to be searched, no verified validation image.
    """
    require_optuna()
    space = _space(config, method_settings(_head(config, config.output, {})))
    inputs: dict[str, StageRecord | Path | str | None] = {
        "dataset": read_stage(config.dataset, "dataset"),
        "features": read_stage(config.features, "features"),
        "init": None if config.init is None else read_stage(config.init, "run"),
        "detection": None if config.detection is None else read_stage(config.detection, "detection"),
    }
    with open_stage("tuning", config, inputs, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        every = combinations(space)
        count = config.trials if every is None else min(config.trials, every)
        defaults, metric, images = _trained(config, stage.work / DEFAULTS, {})
        journal = Journal(stage.work, distributions(space), config.seed, whole=every == count)
        trials = _search(config, journal, count, stage.work)
        info = _record(config, {name: str(values) for name, values in space.items()}, trials, defaults, metric, images)
        info = _measured(config, info, stage.work)
        info.write(stage.work / TUNING)
        names = list(space)
        rows = [[i, t.value, *(t.options[name] for name in names), t.error or ""] for i, t in enumerate(trials)]
        write_csv(stage.work / TRIALS, ["trial", metric, *names, "error"], rows)
        shutil.rmtree(stage.work / "trials", ignore_errors=True)
        for remark in info.remarks:
            say(f"note: {config.method}: {remark}")
        told = _summary(info, _fitted_on(info, stage.work))
        stage.finish(told, volatile=("journal.log", f"{DEFAULTS}*", f"{CHOSEN}*"))
    return stage.output


def check_options(config: Tune) -> None:
    """Refuse what no data set, features or run could make right; none of them need be there.

    Raises:
        NlcliError: as the stage itself.
    """
    head = _head(config, config.output, {})
    check_head_options(head)
    _space(config, method_settings(head.model_copy(update={"init": None})))


def _space(config: Tune, settings: MethodConfig) -> dict[str, Range | Choice]:
    method = get_method(config.method)
    solved = getattr(settings, "solver", "steps") == "solved"
    from_layer = config.init is not None or method.needs_last_layer
    return ranges(method, config.options, config.search, solved=solved, from_layer=from_layer)


# --- searching -------------------------------------------------------------------------------


def _head(config: Tune, output: Path, options: dict[str, Any]) -> TrainHead:
    return TrainHead(
        dataset=config.dataset,
        features=config.features,
        output=output,
        method=config.method,
        options={**config.options, **options},
        init=config.init,
        detection=config.detection,
        clean_fraction=config.clean_fraction,
        steps=config.steps,
        seed=config.seed,
        memory=config.memory,
    )


def _trained(config: Tune, output: Path, options: dict[str, Any]) -> tuple[float, str, int]:
    """The validation metric of a head, its name, and how many images it rests on."""
    result = read_result(train_head(_head(config, output, options)))
    assert result is not None
    told = result.validation
    metric = next((name for name in _BY if name in told), None)
    if metric is None:
        raise NlcliError(f"no validation image of {config.dataset} is verified, so nothing chooses; verify some")
    return float(told[metric]), metric, int(told.get("images_of_known_class", told["images"]))


def _search(config: Tune, journal: Journal, count: int, work: Path) -> list[Trial]:
    done = len(journal.trials)
    with progress(count, f"tuning {config.method}", unit="trials", done=done) as bar:
        for _ in range(done, count):
            trial = journal.run(lambda place, options: _trained(config, work / "trials" / f"{place:04d}", options)[0])
            bar.advance()
            told = ", ".join(f"{name}={value}" for name, value in trial.options.items())
            say(f"trial {told}: {trial.error if trial.value is None else f'{trial.value:.4f}'}")
    return journal.trials


# --- what came of it -------------------------------------------------------------------------


def _record(
    config: Tune, space: dict[str, str], trials: list[Trial], defaults: float, metric: str, images: int
) -> TuningRecord:
    values = [-1.0 if trial.value is None else trial.value for trial in trials]
    best = max(range(len(values)), key=values.__getitem__)
    chosen = best if values[best] > defaults else None
    return TuningRecord(
        method=config.method,
        metric=metric,
        validation_images=images,
        searched=space,
        fixed=config.options,
        defaults=defaults,
        trials=tuple(trials),
        chosen=chosen,
        options={} if chosen is None else trials[chosen].options,
        value=defaults if chosen is None else values[chosen],
        gain=None,
        remarks=(),
    )


def _measured(config: Tune, info: TuningRecord, work: Path) -> TuningRecord:
    """With what the chosen head reaches where nothing chose it."""
    failed = sum(trial.value is None for trial in info.trials)
    remarks = [f"{failed} of {len(info.trials)} trials failed; {TRIALS} says why"] if failed else []
    if info.chosen is None:
        told = f"none of {len(info.trials)} trials is better on validation than the defaults, which are kept"
        return info.model_copy(update={"remarks": (*remarks, told)})
    first = next(i for i, trial in enumerate(info.trials) if trial.options == info.options)  # where it was trained
    begun = work / "trials" / f"{first:04d}"
    if not (work / CHOSEN).is_dir():
        os.replace(begun, work / CHOSEN)
    gain = _gain(config, info.metric, work)
    remarks += _told(info, gain)
    return info.model_copy(update={"gain": gain, "remarks": tuple(remarks)})


def _gain(config: Tune, metric: str, work: Path) -> Gain:
    from nlcli.data.label_files import read_dataset
    from nlcli.data.labels import NONE

    table = read_dataset(config.dataset)
    split = "test" if (table.verification[table.rows("test")] > NONE).any() else "validation"
    evaluations = [
        evaluate(
            Evaluate(
                model=work / name,
                output=work / f"{name}-{split}",
                split=split,
                dataset=config.dataset,
                features=config.features,
                bootstrap=config.bootstrap,
                examples=0,
                seed=config.seed,
            )
        )
        for name in (DEFAULTS, CHOSEN)
    ]
    comparison = compare(evaluations)
    defaults, chosen = (row.metrics[metric] for row in comparison.rows)
    ends = chosen.difference_interval
    return Gain(
        split="test" if split == "test" else "validation",
        images=comparison.images,
        chosen=chosen.value,
        chosen_interval=chosen.interval,
        defaults=defaults.value,
        difference=chosen.difference,
        interval=ends,
        better=None if ends is None or ends[0] is None else ends[0] > 0,
    )


def _told(info: TuningRecord, gain: Gain) -> list[str]:
    remarks = []
    if gain.better is not True:
        why = f"too few images of {gain.split} to tell"
        if gain.interval is not None and gain.difference is not None:
            why = f"{gain.difference:+.4f} on {gain.split}, {_ends(gain.interval)}"
        remarks.append(f"no better than the defaults, as far as can be told ({why})")
    remarks.append(
        f"{info.metric} {info.value:.4f} on validation is the best of {len(info.trials)} and therefore too good; "
        + (
            f"test, which chose nothing, has {_number(gain.chosen)}"
            if gain.split == "test"
            else "nothing of test is verified, so that there is no other value, and the interval is of the same images"
        )
    )
    if info.validation_images < _FEW:
        remarks.append(
            f"{info.validation_images:,} validation images choose between options that differ little by luck"
        )
    return remarks


def _ends(ends: tuple[float | None, float | None]) -> str:
    return f"{_number(ends[0], '+')} to {_number(ends[1], '+')}"


def _number(value: float | None, sign: str = "") -> str:
    return "unknown" if value is None else f"{value:{sign}.4f}"


def _fitted_on(info: TuningRecord, work: Path) -> dict[str, Any]:
    """What the head that was chosen tells of the clean images that it was fitted on."""
    told = read_stage(work / (DEFAULTS if info.chosen is None else CHOSEN)).summary
    return {name: count for name, count in told.items() if name == "clean_images" or name.startswith("clean_pairs_of_")}


def _summary(info: TuningRecord, fitted_on: dict[str, Any]) -> dict[str, Any]:
    """What ``nlcli info`` shows."""
    gain = info.gain
    return {
        "method": info.method,
        "trials": len(info.trials),
        "chosen": " ".join(f"{name}={value}" for name, value in info.options.items()) or DEFAULTS,
        f"validation_{info.metric}": info.value,
        f"defaults_validation_{info.metric}": info.defaults,
        **fitted_on,
        "clean_images_that_chose": info.validation_images,
        **({} if gain is None else {"clean_images_that_measured": gain.images}),
        **(
            {}
            if gain is None
            else {
                f"{gain.split}_{info.metric}": gain.chosen,
                f"defaults_{gain.split}_{info.metric}": gain.defaults,
                "gain": gain.difference,
                "gain_interval": "too few images to tell" if gain.interval is None else _ends(gain.interval),
                "better_than_the_defaults": gain.better,
            }
        ),
        "remarks": list(info.remarks),
    }


def show_tuning(outputs: list[Path]) -> None:
    """For people: the best trials, and what was chosen."""
    for output in outputs:
        info = TuningRecord.read(output / TUNING)
        best = sorted((t for t in info.trials if t.value is not None), key=lambda t: -(t.value or 0))[:_SHOWN]
        names = list(info.searched)
        rows = [[f"{t.value:.4f}", *(printable(str(t.options[name])) for name in names)] for t in best]
        print_table(
            [f"validation {info.metric}", *names],
            [[f"{info.defaults:.4f}", *("default" for _ in names)], *rows],
            info.remarks,
        )
        print_pairs({"output": output, **read_stage(output).summary})
