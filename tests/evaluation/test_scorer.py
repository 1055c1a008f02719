"""Scoring: the predictions of a plain loop over single images, however many towers share a pass."""

import json
import shutil
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from cmmlib.evaluation import heads
from cmmlib.evaluation import scorer as evaluate
from cmmlib.evaluation.scorer import ZeroShotScorer, ahead, available_memory, no_tf32
from cmmlib.suites import Task, Variant
from cmmlib.suites.mini.suite import MiniSuite

TASKS = (
    Task("signs", ("stop", "way", "yield"), ("a {}.", "the photo of a {}, which is long.")),
    Task("moods", ("glad", "sad"), ("{}",)),
)
MODES = ("RGB", "L", "RGBA", "P")


class FakeSuite:
    """The mini suite's base on two test sets of noise, of any size and mode."""

    name, tasks, limit, precision, content_hash = "fake", TASKS, None, "float32", "0"
    backbones = MiniSuite().backbones

    def __init__(self, base: str, images: int = 10) -> None:
        self.folder, self.images = base, images

    def base(self, backbone):
        return str(self.folder)

    def test_set_key(self, task):
        return f"fake {task} {self.images}"

    def test_set(self, task):
        import datasets

        rng = np.random.default_rng(len(task))
        images = []
        for i in range(self.images):
            height, width = rng.integers(1, 80, 2)
            image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            images.append(image.convert(MODES[i % len(MODES)]))
        classes = next(t for t in TASKS if t.name == task).class_names
        columns = {"image": images, "label": [i % len(classes) for i in range(self.images)]}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(classes))})
        return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with the mini suite's base."""
    folder = tmp_path_factory.mktemp("base") / "base"
    shutil.copytree(MiniSuite().base(MiniSuite().backbones[0]), folder)
    return folder


@pytest.fixture
def suite(base, tmp_path, monkeypatch):
    monkeypatch.setenv("CMMLIB_CACHE", str(tmp_path / "cache"))
    return FakeSuite(base)


@pytest.fixture
def scorer(suite):
    return ZeroShotScorer(suite, suite.backbones[0], batch_size=4)


@pytest.fixture(scope="module")
def towers(base):
    """The base's tower and two of noise around it."""
    own = {k: v for k, v in load_file(base / "model.safetensors").items() if k.startswith("vision_model.")}
    found = {"pretrained": None}
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        found[f"noise {seed}"] = {k: v + 0.05 * torch.randn(v.shape, generator=generator) for k, v in own.items()}
    return found


def plain(suite, base, tower, task):
    """Predictions by the formula, one image and one prompt at a time."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(base).eval()
    if tower is not None:
        own = {name.removeprefix("vision_model."): tensor for name, tensor in tower.items()}
        model.vision_model.load_state_dict(own)
    tokenizer, processor = AutoTokenizer.from_pretrained(base), CLIPImageProcessorPil.from_pretrained(base)
    spec = next(t for t in suite.tasks if t.name == task)
    with torch.no_grad():
        head = []
        for name in spec.class_names:
            prompts = [tokenizer(t.format(name), return_tensors="pt") for t in spec.templates]
            head.append(torch.cat([normalize(model.get_text_features(**p).pooler_output, dim=1) for p in prompts]).mean(0))
        head = normalize(torch.stack(head), dim=1)
        found = []
        for image in suite.test_set(task)["image"]:
            pixels = processor(image.convert("RGB"), return_tensors="pt")
            features = normalize(model.get_image_features(**pixels).pooler_output, dim=1)
            found.append(int((model.logit_scale.exp() * features @ head.T).argmax()))
    return torch.tensor(found)


@pytest.mark.parametrize("name", ["pretrained", "noise 1"])
@pytest.mark.parametrize("task", ["signs", "moods"])
def test_predictions_are_those_of_a_loop_over_single_images(suite, scorer, base, towers, name, task):
    expected = plain(suite, base, towers[name], task)
    assert torch.equal(scorer.predict(towers[name], task), expected)
    labels = torch.tensor(suite.test_set(task)["label"])
    assert scorer.score(towers[name], [task])[task] == (int((expected == labels).sum()), len(labels))


def test_predictions_on_the_mini_suite_are_those_of_a_loop():
    class Mini(MiniSuite):
        def test_set_key(self, task):
            return f"{self.content_hash} {task}"

    mini, task = Mini(), "mnist"
    tower = load_file(f"{mini.checkpoint(mini.backbones[0], task)}/model.safetensors")
    predicted = ZeroShotScorer(mini, mini.backbones[0]).predict(tower, task)
    assert torch.equal(predicted, plain(mini, mini.base(mini.backbones[0]), tower, task))


@pytest.mark.parametrize("together", [None, 1, 2])
def test_towers_in_one_pass_score_as_they_do_one_by_one(scorer, towers, together):
    wanted = {"pretrained": ["moods"], "noise 1": ["signs", "moods"], "noise 2": []}
    alone = {key: scorer.score(towers[key], names) for key, names in wanted.items()}
    assert scorer.score_many(towers, wanted, together=together) == alone
    assert list(alone["noise 1"]) == ["signs", "moods"] and alone["noise 2"] == {}


def test_towers_in_one_pass_have_each_batch_read_once(scorer, towers, monkeypatch):
    reads = []
    monkeypatch.setattr(evaluate, "normalised", lambda *a: reads.append(1) or real(*a))
    scorer.score_many(towers, {key: ["signs"] for key in towers}, together=3)
    assert len(reads) == 3  # 10 images, 4 a batch


real = evaluate.normalised


def test_a_mapping_of_models_is_asked_for_a_group_at_a_time(scorer, towers, monkeypatch):
    events = []

    class Lazy(dict):
        def __getitem__(self, key):
            events.append(key)
            return super().__getitem__(key)

    predict = scorer._predict
    monkeypatch.setattr(scorer, "_predict", lambda *a: events.append("pass") or predict(*a))
    scorer.score_many(Lazy(towers), {key: ["moods"] for key in towers}, together=2)
    assert events == ["pretrained", "noise 1", "pass", "noise 2", "pass"]


def test_scoring_leaves_the_base_as_it_was(scorer, towers):
    before = scorer.predict(None, "signs")
    other = scorer.predict(towers["noise 1"], "signs")
    assert not torch.equal(before, other)
    assert torch.equal(scorer.predict(None, "signs"), before)


def test_a_tower_that_does_not_fit_is_named(scorer, towers):
    tower = towers["noise 1"]
    key = "vision_model.post_layernorm.weight"
    without = {k: v for k, v in tower.items() if k != key}
    with pytest.raises(ValueError, match=r"1 missing \['post_layernorm.weight'\], 0 unexpected"):
        scorer.score(without, ["signs"])
    with pytest.raises(ValueError, match=r"0 missing \[\], 1 unexpected \['extra'\]"):
        scorer.score(tower | {"vision_model.extra": torch.zeros(1)}, ["signs"])
    with pytest.raises(ValueError, match=r"post_layernorm.weight has shape \(3,\), in ViT-mini/12 it is \(96,\)"):
        scorer.score(tower | {key: torch.zeros(3)}, ["signs"])


def test_scores_wanted_of_no_model_are_an_error(scorer):
    with pytest.raises(ValueError, match=r"not given: .'b'"):
        scorer.score_many({"a": None}, {"b": ["signs"]})


def test_a_base_that_lacks_a_weight_is_an_error(suite, base, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    tensors = load_file(base / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks weights of a CLIPModel: .*text_projection"):
        ZeroShotScorer(FakeSuite(broken), suite.backbones[0]).score(None, ["signs"])


def test_bfloat16_stays_near_float32(suite, scorer, towers):
    rough = ZeroShotScorer(Variant(suite, precision="bfloat16"), suite.backbones[0], batch_size=4)
    pixels = scorer.images("signs")[0][:4]
    with torch.inference_mode():
        exact, half = (s._embed(s._tower(towers["noise 1"]), pixels) for s in (scorer, rough))
    difference = float((exact - half).norm() / exact.norm())
    assert half.dtype == torch.float32 and 1e-5 < difference < 0.05
    assert rough.score(towers["noise 1"], ["signs"])["signs"].images == 10


def test_bad_arguments_are_errors(suite):
    with pytest.raises(ValueError, match="precision is 'half'; choices: float32, bfloat16"):
        Variant(suite, precision="half")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device"):
            ZeroShotScorer(suite, suite.backbones[0], device="cuda")


def test_labels_beyond_the_classes_are_an_error(suite, scorer, monkeypatch):
    data = suite.test_set("signs")  # three classes
    monkeypatch.setattr(suite, "test_set", lambda task: data)
    with pytest.raises(ValueError, match="test set of moods has labels outside 0 … 1"):
        scorer.score(None, ["moods"])


def test_images_are_floats_as_the_processor_makes_them(suite, scorer, base):
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil.from_pretrained(base)
    images = [image.convert("RGB") for image in suite.test_set("signs")["image"]]
    expected = processor(images, return_tensors="pt")["pixel_values"]
    pixels, labels = scorer.images("signs")
    assert pixels.shape == (10, 3, 36, 36) and len(pixels) == len(labels) == 10
    for rows in (slice(None), slice(2, 5), slice(-3, None), slice(0, 9, 2)):
        assert torch.equal(pixels[rows], expected[rows])


def test_heads_are_read_back_and_a_damaged_one_is_made_again(suite, scorer, monkeypatch, tmp_path):
    first = scorer.head("signs")
    (file,) = (tmp_path / "cache" / "heads").iterdir()
    made = []
    real_embeddings = heads.class_embeddings
    monkeypatch.setattr(heads, "class_embeddings", lambda *a: made.append(1) or real_embeddings(*a))
    again = lambda: ZeroShotScorer(suite, suite.backbones[0]).head("signs")  # noqa: E731
    assert torch.equal(again(), first) and not made
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    for damaged in (bytes(content), b"", content[:20]):
        file.write_bytes(damaged)
        assert torch.equal(again(), first) and made
        made.clear()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_head_belongs_to_weights_and_prompts(suite, scorer, base, tmp_path):
    scorer.head("signs"), scorer.head("moods")
    other = tmp_path / "other"
    shutil.copytree(base, other)
    ZeroShotScorer(FakeSuite(other), suite.backbones[0]).head("signs")  # a copy elsewhere is the same base
    assert len(list((tmp_path / "cache" / "heads").iterdir())) == 2
    tensors = load_file(base / "model.safetensors")
    tensors["text_projection.weight"] += 0.01
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    ZeroShotScorer(FakeSuite(other), suite.backbones[0]).head("signs")
    assert len(list((tmp_path / "cache" / "heads").iterdir())) == 3
    config = json.loads((base / "config.json").read_text())
    config["text_config"]["num_attention_heads"] = 4
    (other / "config.json").write_text(json.dumps(config))
    ZeroShotScorer(FakeSuite(other), suite.backbones[0]).head("signs")
    assert len(list((tmp_path / "cache" / "heads").iterdir())) == 4


def test_the_next_item_is_worked_on_before_it_is_asked_for():
    begun = [threading.Event() for _ in range(4)]
    results = ahead(lambda i: begun[i].set() or 10 * i, range(4))
    assert next(results) == 0
    assert begun[1].wait(10) and not begun[2].wait(0.05)
    assert list(results) == [10, 20, 30]


def test_tensors_are_copied_only_where_they_lie_askew(scorer):
    whole = torch.zeros(101)
    assert scorer._placed(whole[:100]).data_ptr() == whole.data_ptr()
    assert scorer._placed(whole[1:]).data_ptr() % 64 == 0
    assert scorer._placed(whole.half()).dtype == torch.float32


@pytest.mark.parametrize("spoken", ["older", "newer"])
def test_tf32_is_off_while_scoring_on_a_gpu_and_then_as_before(spoken):
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    if spoken == "newer" and not hasattr(products, "fp32_precision"):
        pytest.skip("torch before 2.9")
    name, on, off = ("allow_tf32", True, False) if spoken == "older" else ("fp32_precision", "tf32", "ieee")
    before = getattr(products, name)
    try:
        setattr(products, name, on)
        with no_tf32(torch.device("cuda")):
            assert getattr(products, name) == off
            assert getattr(convolutions if spoken == "older" else convolutions.conv, name) == off
        assert getattr(products, name) == on and convolutions.allow_tf32
        with no_tf32(torch.device("cpu")):
            assert getattr(products, name) == on
    finally:
        setattr(products, name, before)


def test_the_system_says_how_much_memory_is_free():
    assert available_memory() > 1 << 20
