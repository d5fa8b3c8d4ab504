"""From a corpus and a recipe to a checkpoint: one loop, whose objective and data are arguments."""
