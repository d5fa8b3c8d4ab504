"""Fusion at the level of decisions: experts, one a modality, are asked each alone, and their answers become one.

An expert may be anything that gives probabilities or amounts: a model of this package, a remote one, a scikit-learn
estimator. `build.build_decision` names the methods, `base` tells what they have in common.
"""
