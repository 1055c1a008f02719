"""Shapes of the backbones."""

from __future__ import annotations

from cmmlib.suites.mini.build.architecture import VISION
from cmmlib.suites.mini.build.finetuning import FINETUNE_OF
from cmmlib.suites.mini.build.pretraining import PRETRAIN
from cmmlib.suites.mini.suite import BACKBONES, NOT_SHIPPED

from .shipped import BACKBONE, SHAPES, SHIPPED


def test_recipes_shapes_and_names_cover_the_same_backbones():
    assert BACKBONE in SHIPPED
    assert tuple(SHAPES) == BACKBONES
    assert tuple(VISION) == tuple(PRETRAIN) == tuple(FINETUNE_OF) == BACKBONES + NOT_SHIPPED
