"""Names of the read-outs that objectives ask for, without torch."""

REWARD = "reward"
"""How good an answer is, read behind it."""

VALUE = "value"
"""How good an answer is going to be, read before each of its tokens (PPO)."""
