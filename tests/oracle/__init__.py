"""The connectome computed a second time, in plain pandas and from the documented rules alone.

Nothing here imports the product, and nothing in the product may import this.
It is slow and holds everything in memory.
"""
