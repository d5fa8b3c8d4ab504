"""Rules that tell text worth training on from the rest of the web: Gopher, C4, FineWeb, each published and switchable.

All of them are stages of `prepare`; they read words, lines and n-grams of a whole batch as arrays of numbers.
"""
