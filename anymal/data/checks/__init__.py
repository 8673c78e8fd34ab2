"""What may be wrong with a data set: one file for each family of mistakes.

A check finds mistakes and says what to change; it changes nothing.
"""
