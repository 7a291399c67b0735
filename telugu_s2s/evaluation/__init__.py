"""Every number that is claimed, each printed by one command, and what a trained model says."""
