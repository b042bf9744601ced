"""Migrations, run by ``signalpost.record.migrate``."""
