"""What zoos of several suites share: folders that appear whole, checksums, recipes in files, a training step."""
