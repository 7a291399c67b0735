"""Hours, memory, storage and money, before anything is spent: predicted by formulas, and counted in the compiled program."""
