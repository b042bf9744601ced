"""API keys: making them, and knowing them again."""
