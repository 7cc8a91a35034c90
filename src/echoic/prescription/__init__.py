"""From a wanted horizon to the network that reaches it."""
