"""Signals in: read, resolved to a customer, kept once, all in one transaction."""
