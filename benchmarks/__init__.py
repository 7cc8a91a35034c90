"""Speed, side by side with the peers and only where the answers agree."""
