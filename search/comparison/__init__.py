"""Networks trained with the same seeds: confirmations and ablations."""
