"""Building the zoo: texts out of packages, fine-tuning, checksums."""
