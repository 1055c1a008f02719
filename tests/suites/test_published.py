"""The papers' figures, as typed in."""

from itertools import product

import numpy as np
import pytest

from cmmlib.experiments.rows import all_rows
from cmmlib.suites import published_individual, published_table

BACKBONES = ("ViT-B/32", "ViT-B/16", "ViT-L/14")


def cell(frame, number, label, metric="ACC"):
    found = frame[(frame.num_tasks == number) & (frame.label == label) & (frame.metric == metric)]
    return tuple(found[["value", "std"]].iloc[0]) if len(found) else None


@pytest.mark.parametrize(
    "backbone, number, label, metric, expected",
    [
        ("ViT-B/32", 8, "OPCM", "ACC", (75.5, 0.5)),
        ("ViT-B/16", 20, "OPCM", "BWT", (-6.3, 2.2)),
        ("ViT-L/14", 20, "TIES", "ACC", (68.3, 0.9)),
        ("ViT-L/14", 14, "MINGLE (test-time data)", "ACC", (88.8, 0.7)),
        ("ViT-B/32", 20, "C. Fine-tuned", "ACC", (62.6, None)),
        ("ViT-L/14", 8, "NUFILT", "BWT", (-1.1, None)),
        ("ViT-B/32", 8, "Pretrained", "ACC", (48.1, None)),
    ],
)
def test_figures_are_those_of_the_papers(backbone, number, label, metric, expected):
    value, std = cell(published_table("clip", backbone), number, label, metric)
    assert (value, None if np.isnan(std) else std) == expected


def test_the_opcm_papers_grid_is_whole():
    methods = ("Weight average", "Task arithmetic", "TIES", "MagMax", "OPCM")
    for backbone, number, label in product(BACKBONES, (8, 14, 20), methods):
        frame = published_table("clip", backbone)
        for metric in ("ACC", "BWT"):
            assert np.isfinite(cell(frame, number, label, metric)).all()
        assert all(cell(frame, number, bound) for bound in ("Pretrained", "Individual", "C. Fine-tuned"))


def test_no_figure_is_lost():
    tables = [published_table("clip", backbone) for backbone in BACKBONES]
    assert [len(table) for table in tables] == [77, 69, 76]
    shown = {"Consensus TA", "NUFILT", *(f"{name} (test-time data)" for name in ("LW AdaMerging", "LoRA-WEMoE", "MINGLE"))}
    assert all(shown - {"NUFILT"} <= {*table.label} for table in tables) and shown <= {*tables[0].label}


def test_dops_cells_stay_blank():
    for backbone in BACKBONES:
        assert not published_table("clip", backbone).label.str.startswith("DOP").any()


def test_slips_are_marked_and_are_copies_of_another_cell():
    slips = [
        (backbone, row)
        for backbone in BACKBONES
        for row in published_table("clip", backbone).itertuples()
        if row.note == row.note
    ]
    assert [(backbone, row.num_tasks, row.label) for backbone, row in slips] == [
        *[("ViT-B/16", 14, "MagMax"), ("ViT-L/14", 14, "MagMax"), ("ViT-L/14", 20, "MagMax")],
    ]
    assert cell(published_table("clip", "ViT-B/32"), 14, "MagMax") == (67.0, 0.0) == (slips[0][1].value, slips[0][1].std)


def test_every_figure_names_its_source_and_is_an_accuracy_or_a_transfer():
    for backbone in BACKBONES:
        frame = published_table("clip", backbone)
        assert frame.source.str.startswith("arXiv ").all() and frame.metric.isin(["ACC", "BWT"]).all()
        assert not frame.duplicated(["num_tasks", "label", "metric"]).any()
        ours = {*all_rows(8), "Pretrained", "Individual", "C. Fine-tuned"}
        others = set(frame.label) - ours  # a label of ours misspelt would appear here
        assert all(label.endswith(("(test-time data)", "(pairwise)", "(pairwise, 50 Adam steps)", "TA")) for label in others)


def test_individual_accuracies_cover_all_tasks_and_agree_with_the_table():
    for backbone in BACKBONES:
        assert len(published_individual("clip", backbone)) == 20
    means = published_individual("clip", "ViT-B/32").mean()
    assert means["pretrained"] == pytest.approx(55.6, abs=0.06)
    assert means["individual"] == pytest.approx(89.8, abs=0.06)


def test_the_mini_suite_has_no_published_figures():
    assert published_table("mini", "ViT-mini/12").empty and published_individual("mini", "ViT-mini/12").empty
