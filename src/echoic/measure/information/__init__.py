"""Information: what the present state can tell of inputs k steps back."""
