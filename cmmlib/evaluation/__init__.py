"""Zero-shot scoring of vision towers."""
