"""The papers' figures, as typed in."""

import pytest

from cmmlib.experiments.rows import published_rows
from cmmlib.suites import published_individual, published_table

BACKBONES = ("ViT-B/32", "ViT-B/16", "ViT-L/14")


def value(frame, number, label, metric="ACC"):
    found = frame[(frame.num_tasks == number) & (frame.label == label) & (frame.metric == metric)]["value"]
    return found.item() if len(found) else None


@pytest.mark.parametrize(
    "backbone, number, label, expected",
    [
        ("ViT-B/32", 8, "OPCM", 75.5),
        ("ViT-B/32", 14, "OPCM", 71.9),
        ("ViT-B/32", 20, "Weight average", 61.1),
        ("ViT-B/16", 8, "Task arithmetic", 77.1),
        ("ViT-L/14", 20, "OPCM", 76.0),
        ("ViT-L/14", 8, "NUFILT", 91.6),
        ("ViT-B/32", 8, "Pretrained", 48.1),
        ("ViT-B/16", 20, "OPCM", None),  # could not be verified: stays blank
        ("ViT-B/32", 8, "DOP", None),
    ],
)
def test_figures_are_those_of_the_papers_and_blanks_stay_blank(backbone, number, label, expected):
    assert value(published_table("clip", backbone), number, label) == expected


def test_every_figure_names_its_source_and_is_an_accuracy_or_a_transfer():
    for backbone in BACKBONES:
        frame = published_table("clip", backbone)
        assert frame.source.str.startswith("arXiv ").all() and frame.metric.isin(["ACC", "BWT"]).all()
        assert not frame.duplicated(["num_tasks", "label", "metric"]).any()
    ours = {*published_rows(8), "Pretrained", "Individual"}
    theirs = set(published_table("clip", "ViT-B/32").label)
    assert theirs - ours == {"NUFILT", "WUDI-Merging", "Iso-C"}  # a label of ours misspelt would appear here


def test_individual_accuracies_cover_all_tasks_and_agree_with_the_table():
    for backbone in BACKBONES:
        assert len(published_individual("clip", backbone)) == 20
    means = published_individual("clip", "ViT-B/32").mean()
    assert means["pretrained"] == pytest.approx(55.6, abs=0.06)
    assert means["individual"] == pytest.approx(89.8, abs=0.06)


def test_the_mini_suite_has_no_published_figures():
    assert published_table("mini", "ViT-mini/12").empty and published_individual("mini", "ViT-mini/12").empty
