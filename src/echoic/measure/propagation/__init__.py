"""How two input sequences come together or part in real networks, tied and untied."""
