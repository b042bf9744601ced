"""Use cases: keyword-only functions, one transaction each, committed by the caller at the edge."""
