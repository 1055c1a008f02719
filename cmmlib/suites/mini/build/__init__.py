"""How the mini suite was made: pretraining, fine-tuning and storing its models, from seeds."""
