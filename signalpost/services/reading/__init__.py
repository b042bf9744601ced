"""The record read back: one timeline, why, and the lists that operators look at."""
