"""What is left half-way is found, called what it is, and settled by what proves it: never by a guess.

``sweeping`` takes claims that are over and calls what was on its way ``unknown``; ``asking`` settles
unknown deliveries from receipts and from the provider's own list; ``polling`` fetches texts whose
webhook was lost; ``resolving`` takes an operator's word; ``stuck`` says what an operator should look at.
"""
