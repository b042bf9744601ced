"""What a process tells of itself while it works: meters, and spans when somebody collects them."""
