"""Several senses to one decision.

`features` joins what encoders give into one vector, `missing` stands in for modalities that are absent, `modulation`
tells which modality dominates in training and tames it. `decisions` joins the predictions of experts instead.
"""
