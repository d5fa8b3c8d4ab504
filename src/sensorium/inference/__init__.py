"""Engines that run a model, and the loop that decodes with any of them."""
