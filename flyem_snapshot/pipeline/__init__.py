"""The run: which stages there are, what must be done and why, and doing it so that it can be resumed."""
