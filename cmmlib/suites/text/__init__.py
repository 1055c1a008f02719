"""The text suite: a pretrained sentence encoder, tasks of text out of packages, and the building of its zoo."""
