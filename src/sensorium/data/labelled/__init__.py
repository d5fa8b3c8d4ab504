"""What people have labelled: questions and the spans that answer them, classes of texts, tags of words."""
