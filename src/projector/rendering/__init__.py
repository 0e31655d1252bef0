"""How statuses, events and tables look for people: rich on a terminal, plain aligned text everywhere else."""
