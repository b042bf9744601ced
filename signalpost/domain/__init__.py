"""Rules as plain functions and frozen values; standard library only."""
