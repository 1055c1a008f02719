"""The check that a data set's labels mean the classes of the prompts."""

from __future__ import annotations

import re
import string

import pytest

from cmmlib.suites.clip.label_names import check_labels, spelling_free
from cmmlib.suites.clip.tasks import TASKS

BY_NAME = {task.name: task for task in TASKS}

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
def test_spellings_keep_classes_and_aliases_apart(task):
    spellings = [spelling_free(name) for name in task.class_names]
    assert all(spellings) and len(set(spellings)) == len(spellings)
    aliases = {spelling_free(alias): spelling_free(name) for alias, name in task.aliases.items()}
    assert len(aliases) == len(task.aliases)
    assert set(task.aliases.values()) <= set(task.class_names)
    # only Food-101, whose prompts swap two classes, has aliases that are spelt like another class
    assert aliases.keys() & set(spellings) == ({"cheesecake", "cheeseplate"} if task.name == "food101" else set())


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
        'If these are the same classes, load_suite("clip", accept_labels=("dtd",)) accepts them as they are. '
        "Otherwise the data set has changed or is in another order, and scores would be meaningless."
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
