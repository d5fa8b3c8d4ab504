"""What a model is used for: fill masks, generate, score. One task a file, behind one handle."""
