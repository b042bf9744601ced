"""The ways out to the providers: their accounts, and the circuit of each.

``circuits``  what all processes know of each account
``accounts``  a provider made of one account or two, each behind its circuit
``stopping``  what a process that was told to stop still sends
``watching``  whether messages arrive slowly, or are filtered
"""
