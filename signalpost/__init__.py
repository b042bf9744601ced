"""Signalpost: signals in, messages out, every step on the customer's record."""
