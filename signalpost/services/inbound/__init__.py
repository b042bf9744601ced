"""What comes back: receipts, replies, answers, the inbox, and people who opt out."""
