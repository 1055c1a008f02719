"""The table of the CLIP suite's tasks, and the check that a data set's labels mean the classes of the prompts."""

from __future__ import annotations

import hashlib
import re
import string

import pytest

from cmmlib.suites.clip.labels import check_labels, spelling_free
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


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_spellings_keep_classes_and_aliases_apart(task):
    spellings = [spelling_free(name) for name in task.class_names]
    assert all(spellings) and len(set(spellings)) == len(spellings)
    aliases = {spelling_free(alias): spelling_free(name) for alias, name in task.aliases.items()}
    assert len(aliases) == len(task.aliases)
    assert set(task.aliases.values()) <= set(task.class_names)
    # only Food-101, whose prompts swap two classes, has aliases that are spelt like another class
    assert aliases.keys() & set(spellings) == ({"cheesecake", "cheeseplate"} if task.name == "food101" else set())


# spellings in which data sets are known to declare these classes
DECLARED = {
    "sun397": lambda names: [f"/{name[0]}/{name.replace(' ', '_').replace('_outdoor', '/outdoor')}" for name in names],
    "stanford-cars": lambda names: [name.lower() for name in names],
    "resisc45": lambda names: [name.replace(" ", "_") for name in names],
    "eurosat": lambda _: (
        [
            "AnnualCrop",
            "Forest",
            "HerbaceousVegetation",
            "Highway",
            "Industrial",
            "Pasture",
            "PermanentCrop",
            "Residential",
            "River",
            "SeaLake",
        ]
    ),
    "fer2013": lambda _: ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"],
    "oxford_flowers102": lambda names: [
        {"ball moss": "air plant", "globe-flower": "Globe Flower", "pink-yellow dahlia?": "pink and yellow dahlia"}.get(n, n)
        for n in names
    ],
    "oxford-iiit-pet": lambda names: [name.replace("_", " ").title() for name in names],
    "cifar100": lambda names: ["crab" if name == "cra" else name for name in names],
    "food101": lambda names: [name.replace(" ", "_") for name in (*names[:16], names[17], names[16], *names[18:])],
    "fashion_mnist": lambda names: ["T-shirt/top", *names[1:]],
    "kmnist": lambda _: ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_right_labels_pass_in_every_known_spelling(task):
    if task.name != "food101":
        check_labels(task, task.class_names, "the hub")
    check_labels(task, DECLARED.get(task.name, list)(task.class_names), "the hub")
    check_labels(task, [str(label) for label in range(len(task.class_names))], "the hub")


def test_case_accents_spaces_and_punctuation_do_not_count():
    declared = list(DECLARED["food101"](BY_NAME["food101"].class_names))
    declared[27], declared[0] = "Crème-Brûlée", " APPLE/pie."
    check_labels(BY_NAME["food101"], declared, "the hub")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_permutation_is_another_order(task):
    right = list(DECLARED.get(task.name, list)(task.class_names))
    swaps = [[*right[:label], right[label + 1], right[label], *right[label + 2 :]] for label in range(len(right) - 1)]
    for wrong in (*swaps, [*right[1:], right[0]], right[::-1]):
        with pytest.raises(ValueError, match="declares the right classes in another order"):
            check_labels(task, wrong, "the hub")


def test_numbers_in_another_order_are_an_error():
    with pytest.raises(ValueError, match="label 2: '10' where the prompts have"):
        check_labels(BY_NAME["dtd"], sorted(str(label) for label in range(47)), "the hub")


def test_food101_in_the_order_of_its_prompts_is_another_order():
    with pytest.raises(ValueError, match="the right classes in another order") as error:
        check_labels(BY_NAME["food101"], BY_NAME["food101"].class_names, "the hub")
    assert "label 16: 'cheese plate', which stands for 'cheesecake', where the prompts have 'cheese plate'" in str(
        error.value
    )


def test_an_alias_passes_at_its_own_place_only():
    task = BY_NAME["cifar100"]
    declared = list(task.class_names)
    declared[27] = "crab"
    with pytest.raises(ValueError, match="label 27: 'crab', which stands for 'cra', where the prompts have 'crocodile'"):
        check_labels(task, declared, "the hub")


def test_another_number_of_classes():
    with pytest.raises(ValueError) as error:
        check_labels(BY_NAME["emnist_letters"], ["N/A", *string.ascii_uppercase], "/data/letters")
    assert str(error.value) == (
        "emnist_letters: /data/letters (data set tanganke/emnist_letters) declares 27 classes ('N/A', 'A', 'B', …) "
        "where the prompts have 26 ('A', 'B', 'C', …); it is not the data set that this task is scored on"
    )
    with pytest.raises(ValueError, match="declares 3 classes"):
        check_labels(BY_NAME["pcam"], ["0", "1", "2"], "the hub")


def test_other_names_are_shown_with_the_way_out():
    task = BY_NAME["dtd"]
    with pytest.raises(ValueError) as error:
        check_labels(task, [*task.class_names[:2], "plaited", *task.class_names[3:]], "the hub at main")
    assert str(error.value) == (
        "dtd: the hub at main (data set tanganke/dtd) declares other class names:\n"
        "  label 2: 'plaited' where the prompts have 'braided'\n"
        'If these are the same classes, load_suite("clip", accept_labels=("dtd",)) takes them as they are; '
        "else the data set has changed or is in another order, and scores would be meaningless."
    )


def test_five_pairs_are_shown_and_the_rest_counted():
    task = BY_NAME["dtd"]
    with pytest.raises(ValueError) as error:
        check_labels(task, [f"texture {label}" for label in range(47)], "the hub")
    assert len(re.findall("label \\d+:", str(error.value))) == 5
    assert "\n  and 42 more\n" in str(error.value)


def test_a_class_declared_twice_is_an_error():
    task = BY_NAME["stl10"]
    with pytest.raises(ValueError, match="label 9: 'ship' where the prompts have 'truck'"):
        check_labels(task, [*task.class_names[:9], "ship"], "the hub")
