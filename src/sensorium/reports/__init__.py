"""Reports: pages of one file each, with plots, tables and samples, that open anywhere and ask nothing of a network."""
