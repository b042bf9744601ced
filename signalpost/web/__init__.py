"""The web: signals in, receipts in, the customers' inbox, and the pages that people look at."""
