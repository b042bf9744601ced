"""Watching the product at work: figures for instruments, and what an operator should hear of."""
