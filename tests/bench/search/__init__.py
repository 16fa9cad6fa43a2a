"""How well and how fast `recall` finds, beside named baselines."""
