"""A fourth backbone, which does not ship: another tower, another seed and another way to fine-tune.

No choice of this library was made on it, so methods can be judged on it.  `--backbone ViT-mini-S/12` makes it.
"""

from __future__ import annotations

from types import SimpleNamespace

FOURTH = "ViT-mini-S/12"
SHAPE = dict(hidden_size=80, intermediate_size=320, num_hidden_layers=5, num_attention_heads=5, image_size=36, patch_size=12)
BASE_SEED = 11  # of the base's weights and of the batches that it is pretrained on
PRETRAINED = SimpleNamespace(per_task=4000, steps=3000, batch=192, lr=1.5e-3, weight_decay=0.1, save_every=250)
# against the backbones that ship: twice the learning rate, three fifths of the steps, larger batches, and weight decay
FINETUNED = SimpleNamespace(images=4000, steps=300, batch=96, lr=2e-4, weight_decay=0.1)
