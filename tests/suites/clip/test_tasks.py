"""The table of tasks, and every prompt."""

from __future__ import annotations

import hashlib
import string

import pytest

from cmmlib.suites.clip.tasks import TASKS

BY_NAME = {task.name: task for task in TASKS}

# in suite order: data set, configuration, split, classes, templates, images
TABLE = {
    "sun397": ("tanganke/sun397", None, "test", 397, 2, 19850),
    "stanford-cars": ("tanganke/stanford_cars", None, "test", 196, 8, 8041),
    "resisc45": ("tanganke/resisc45", None, "test", 45, 18, 6300),
    "eurosat": ("tanganke/eurosat", None, "test", 10, 3, 2700),
    "svhn": ("ufldl-stanford/svhn", "cropped_digits", "test", 10, 1, 26032),
    "gtsrb": ("tanganke/gtsrb", None, "test", 43, 3, 12630),
    "mnist": ("ylecun/mnist", None, "test", 10, 1, 10000),
    "dtd": ("tanganke/dtd", None, "test", 47, 8, 1880),
    "oxford_flowers102": ("dpdl-benchmark/oxford_flowers102", None, "test", 102, 1, 6149),
    "pcam": ("1aurent/PatchCamelyon", None, "test", 2, 1, 32768),
    "fer2013": ("clip-benchmark/wds_fer2013", None, "test", 7, 6, 7178),
    "oxford-iiit-pet": ("timm/oxford-iiit-pet", None, "test", 37, 1, 3669),
    "stl10": ("tanganke/stl10", None, "test", 10, 2, 8000),
    "cifar100": ("tanganke/cifar100", None, "test", 100, 18, 10000),
    "cifar10": ("tanganke/cifar10", None, "test", 10, 18, 10000),
    "food101": ("ethz/food101", None, "validation", 101, 1, 25250),
    "fashion_mnist": ("zalando-datasets/fashion_mnist", None, "test", 10, 2, 10000),
    "emnist_letters": ("tanganke/emnist_letters", None, "test", 26, 1, 20800),
    "kmnist": ("tanganke/kmnist", None, "test", 10, 1, 10000),
    "rendered-sst2": ("nateraw/rendered-sst2", None, "test", 2, 1, 1821),
}

# (task, label, template) → prompt
PROMPTS = {
    ("sun397", 0, 0): "a photo of a abbey.",
    ("sun397", 8, 1): "a photo of the apartment building outdoor.",
    ("sun397", 396, 1): "a photo of the youth hostel.",
    ("stanford-cars", 0, 3): "i love my AM General Hummer SUV 2000!",
    ("stanford-cars", 98, 4): "a photo of my dirty FIAT 500 Abarth 2012.",
    ("stanford-cars", 195, 7): "a photo of my old smart fortwo Convertible 2012.",
    ("resisc45", 2, 0): "satellite imagery of baseball diamond.",
    ("resisc45", 44, 17): "aerial view of the wetland.",
    ("eurosat", 0, 0): "a centered satellite photo of annual crop land.",
    ("eurosat", 9, 2): "a centered satellite photo of the lake or sea.",
    ("svhn", 7, 0): 'a photo of the number: "7".',
    ("gtsrb", 0, 0): 'a zoomed in photo of a "red and white circle 20 kph speed limit" traffic sign.',
    ("gtsrb", 14, 2): 'a close up photo of a "stop" traffic sign.',
    ("gtsrb", 42, 1): (
        'a centered photo of a "white circle with gray strike bar indicating no passing for trucks has ended" traffic sign.'
    ),
    ("mnist", 0, 0): 'a photo of the number: "0".',
    ("mnist", 9, 0): 'a photo of the number: "9".',
    ("dtd", 0, 0): "a photo of a banded texture.",
    ("dtd", 30, 7): "a photo of the polka-dotted object.",
    ("oxford_flowers102", 0, 0): "a photo of a pink primrose, a type of flower.",
    ("oxford_flowers102", 15, 0): "a photo of a globe-flower, a type of flower.",
    ("oxford_flowers102", 59, 0): "a photo of a pink-yellow dahlia?, a type of flower.",
    ("oxford_flowers102", 92, 0): "a photo of a ball moss, a type of flower.",
    ("oxford_flowers102", 101, 0): "a photo of a blackberry lily, a type of flower.",
    ("pcam", 0, 0): "this is a photo of lymph node",
    ("pcam", 1, 0): "this is a photo of lymph node containing metastatic tumor tissue",
    ("fer2013", 1, 0): "a photo of a disgusted looking face.",
    ("fer2013", 4, 5): "look at how neutral they are.",
    ("oxford-iiit-pet", 1, 0): "a photo of a american_bulldog, a type of pet.",
    ("oxford-iiit-pet", 36, 0): "a photo of a yorkshire_terrier, a type of pet.",
    ("stl10", 2, 1): "a photo of the car.",
    ("cifar100", 1, 1): "a blurry photo of a aquarium_fish.",
    ("cifar100", 26, 0): "a photo of a cra.",
    ("cifar100", 99, 17): "a photo of the big worm.",
    ("cifar10", 1, 7): "a photo of a small automobile.",
    ("food101", 0, 0): "a photo of apple pie, a type of food.",
    ("food101", 16, 0): "a photo of cheese plate, a type of food.",
    ("food101", 17, 0): "a photo of cheesecake, a type of food.",
    ("food101", 100, 0): "a photo of waffles, a type of food.",
    ("fashion_mnist", 0, 0): "a photo of a T - shirt / top.",
    ("fashion_mnist", 9, 1): "a photo of the Ankle boot.",
    ("emnist_letters", 0, 0): 'a photo of the digit character: "A".',
    ("emnist_letters", 25, 0): 'a photo of the digit character: "Z".',
    ("rendered-sst2", 0, 0): "a negative review of a movie.",
    ("rendered-sst2", 1, 0): "a positive review of a movie.",
    **{("kmnist", label, 0): f"a photo of the character {c}." for label, c in enumerate("おきすつなはまやれを")},
}


def test_the_tasks_and_their_order():
    assert [task.name for task in TASKS] == list(TABLE)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_data_set_and_numbers(task):
    found = (task.dataset, task.config, task.split, len(task.class_names), len(task.templates), task.images)
    assert found == TABLE[task.name]
    assert (task.image, task.label) == (("jpg", "cls") if task.name == "fer2013" else ("image", "label"))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_class_has_prompts_of_its_own(task):
    for template in task.templates:
        assert [name for _, name, *_ in string.Formatter().parse(template) if name is not None] == [""]
    assert len(set(task.templates)) == len(task.templates)
    prompts = [prompt for label in range(len(task.class_names)) for prompt in task.prompts(label)]
    assert len(set(prompts)) == len(task.class_names) * len(task.templates)
    assert all(prompt == " ".join(prompt.split()) for prompt in prompts)


@pytest.mark.parametrize("key", PROMPTS, ids=lambda key: f"{key[0]}-{key[1]}-{key[2]}")
def test_prompts_word_for_word(key):
    name, label, template = key
    assert BY_NAME[name].prompts(label)[template] == PROMPTS[key]


def test_every_task_has_a_prompt_pinned():
    assert {name for name, *_ in PROMPTS} == set(TABLE)


def test_all_prompts_are_those_compared_with_the_sources():
    prompts = [prompt for task in TASKS for label in range(len(task.class_names)) for prompt in task.prompts(label)]
    assert len(prompts) == 6069
    assert hashlib.sha256("\n".join(prompts).encode()).hexdigest() == (
        "b248002d1f42581cb8101f597fa8e501f0d74f3c88f41e0401ccf5b1ed616162"
    )
