"""Table contracts: what each table of a snapshot holds, and how it is reopened from the cache."""
