"""Making the mini suite from seeds: pretraining, fine-tuning and storing its models."""
