"""A person's own data: handed out, erased with a receipt, and never brought back by accident."""
