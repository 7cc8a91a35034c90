"""One matrix: how far from normal it is, what transients it allows, which chain hides in it."""
