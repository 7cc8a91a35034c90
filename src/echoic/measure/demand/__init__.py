"""What a task asks of memory: how far back the loss of a trained network looks."""
