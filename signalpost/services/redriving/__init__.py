"""What gave up: one list of it, and another try when an operator says that the cause is gone.

``waiting``    the list: people set aside in journeys and campaigns, parked events, failed hooks
``acting``     another try, by id, or for all of a journey or campaign with one reason
``campaigns``  what that means for people of a campaign's run
"""
