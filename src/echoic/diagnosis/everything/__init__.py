"""Everything that the measures say of one network, question by question."""
