"""Campaigns: plan, launch, send, report, simulate."""
