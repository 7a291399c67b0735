"""One loop for all stages: mesh and sharding, optimiser, checkpoints, metrics, guards."""
