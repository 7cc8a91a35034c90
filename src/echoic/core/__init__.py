"""The contracts that everything else stands on; nothing here knows a concrete cell."""
