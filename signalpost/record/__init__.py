"""The shared customer record: tables, the only queries, and migrations."""
