"""Reference rows that see training data: their recipe, going on after a stop, and the scores that ship."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from cmmlib import task_order
from cmmlib.analysis import tables
from cmmlib.analysis.runs import per_run_metrics
from cmmlib.experiments import trained
from cmmlib.experiments.frames import trained_accuracies
from cmmlib.suites import NO_ORDER, TRAINED, load_suite
from cmmlib.suites.mini.build import finetuning
from cmmlib.suites.mini.build.architecture import arrays
from cmmlib.suites.mini.build.embeddings import zero_shot_head
from cmmlib.suites.mini.packing import vision_tensors
from cmmlib.suites.mini.shipped import ZOO
from cmmlib.suites.mini.suite import MiniSuite
from cmmlib.suites.mini.tasks import TASKS
from cmmlib.suites.zoos.checksums import tensors_hash
from cmmlib.suites.zoos.folders import folder_of

BACKBONE = "ViT-mini/12"
DRAWN = tuple(task for task in TASKS if task.kind != "scan")  # the others need packages that only builders have


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """Makes a trainer with an empty cache, and a recipe of seconds."""
    for name, value in {"steps": 2, "images": 96, "batch": 16}.items():
        monkeypatch.setattr(finetuning.FINETUNE, name, value)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def make(cache="cache"):
        monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / cache))
        suite = MiniSuite()
        suite.tasks = DRAWN
        return trained.Trainer(suite, BACKBONE)

    yield make
    torch.set_num_threads(threads)


def tower_of(trainer, course):
    return load_file(trainer.folder / f"{course.num_tasks}-{course.seed}.safetensors")


def test_a_sequence_of_one_task_is_the_individual_fine_tuning(trainer):
    trainer = trainer()
    head = zero_shot_head(trainer.base, trainer.tokenizer, DRAWN[0])
    individual = vision_tensors(arrays(finetuning.finetune(trainer.base, [head], [DRAWN[0]])))
    assert tensors_hash(individual) != tensors_hash(vision_tensors(arrays(trainer.base)))
    for seed in (40, NO_ORDER):
        trainer.follow(trained.Course(1, seed))
        assert tensors_hash(tower_of(trainer, trained.Course(1, seed))) == tensors_hash(individual)


def test_joint_training_tells_an_image_from_classes_of_its_own_task_alone(trainer, monkeypatch):
    trainer, task = trainer(), DRAWN[0]
    head = zero_shot_head(trainer.base, trainer.tokenizer, task)
    draw = finetuning.batch_of

    def batches(images, step, size, **how):  # in odd steps those of the second task, if there is one
        rows = draw(range(finetuning.FINETUNE.images), step, size, **how)
        return rows + (len(images) - finetuning.FINETUNE.images) * (step % 2)

    monkeypatch.setattr(finetuning, "batch_of", batches)
    twice = arrays(finetuning.finetune(trainer.base, [head, head], [task, task]))
    monkeypatch.setattr(finetuning.FINETUNE, "steps", 4)
    once = arrays(finetuning.finetune(trainer.base, [head], [task]))
    for name in once:
        np.testing.assert_allclose(twice[name], once[name], atol=1e-5)


def test_a_stopped_sequence_goes_on_after_the_last_task_learnt(trainer, monkeypatch):
    course, finetune, learnt = trained.Course(3, 41), finetuning.finetune, []
    whole = trainer("whole")
    whole.follow(course)

    def stopping(start, heads, tasks):
        if len(learnt) == 2:
            learnt.append("stopped")
            raise KeyboardInterrupt
        learnt.append(tasks[0].name)
        return finetune(start, heads, tasks)

    stopped = trainer("stopped")
    monkeypatch.setattr(trained, "finetune", stopping)
    with pytest.raises(KeyboardInterrupt):
        stopped.follow(course)
    assert stopped.scores().empty  # only whole sequences count
    again = trainer("stopped")
    again.follow(course)
    order = course.order(again.suite)
    assert learnt == [*order[:2], "stopped", order[2]]
    pd.testing.assert_frame_equal(again.scores(), whole.scores())
    assert len(whole.scores()) == 9


@pytest.mark.parametrize("backbone", MiniSuite().backbones)
def test_the_scores_that_ship_are_whole_and_of_this_zoo(backbone):
    suite = MiniSuite()
    frame = suite.trained(backbone)
    assert list(frame.columns) == TRAINED and (frame["images"] == 150).all()
    assert len(frame) or backbone != BACKBONE
    individual = json.loads((folder_of(ZOO, backbone) / "accuracies.json").read_text())["individual"]
    for (label, number, seed), part in frame.groupby(["label", "num_tasks", "seed"]):
        joint = label == trained.JOINT
        assert joint == (seed == NO_ORDER) and (joint or label == trained.SEQUENTIAL)
        tasks = suite.task_names(number)
        order = list(tasks) if joint else task_order(tasks, seed)
        steps = [number] if joint else range(1, number + 1)
        assert part["task"].tolist() == order * len(steps)
        assert part["position"].tolist() == list(range(1, number + 1)) * len(steps)
        assert part["step"].tolist() == np.repeat(steps, number).tolist()
        assert part["merged"].tolist() == (["all"] * number if joint else np.repeat(order, number).tolist())
        if not joint:  # its first tower is the individual one before rounding
            first = part.iloc[0]
            assert 100 * first.correct / first.images == pytest.approx(individual[order[0]], abs=2)


def test_they_stand_in_the_table_as_references():
    scores = trained_accuracies(MiniSuite(), BACKBONE, [8])
    bounds = pd.DataFrame({"pretrained": 50.0, "individual": 95.0}, index=MiniSuite().task_names(8))
    per_run = per_run_metrics(scores, bounds).set_index("label")
    sequential, joint = per_run.loc[[trained.SEQUENTIAL]], per_run.loc[trained.JOINT]
    assert sequential[["acc", "bwt", "forgetting", "plasticity"]].notna().all(axis=None) and np.isnan(joint.bwt)
    assert (sequential.bwt < 0).all() and (joint.acc > sequential.acc).all() and (sequential.plasticity > 90).all()
    table = tables.main_table(tables.summary(per_run.reset_index(), tables.reference_means({8: bounds})))
    assert table.index.tolist() == ["Pretrained", trained.SEQUENTIAL, trained.JOINT, "Individual"]
    assert table.loc[trained.SEQUENTIAL, ("8 tasks", "orders")] == str(len(sequential))
    assert table.loc[trained.JOINT].tolist() == [f"{joint.acc:.1f}", "", ""]


def test_they_belong_to_one_zoo_and_to_all_of_its_images(tmp_path):
    folder = shutil.copytree(ZOO, tmp_path / "zoo")
    other = load_suite("mini", folder=str(folder))
    assert other.content_hash(BACKBONE) == load_suite("mini").content_hash(BACKBONE)
    (folder_of(folder, BACKBONE) / "trained.csv").unlink()
    # no merged model's score depends on it
    assert load_suite("mini", folder=folder).content_hash(BACKBONE) == other.content_hash(BACKBONE)
    for suite in (other, load_suite("mini", limit=20), load_suite("clip")):
        assert suite.trained(suite.backbones[0]).empty
        assert trained_accuracies(suite, suite.backbones[0], [8]).empty
    delta = next((folder_of(folder, BACKBONE) / "deltas").iterdir())
    delta.write_bytes(delta.read_bytes() + b" ")
    assert load_suite("mini", folder=folder).content_hash(BACKBONE) != other.content_hash(BACKBONE)
