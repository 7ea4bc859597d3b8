"""Pseudo-random numbers that need no state: hashes of a seed, of a purpose and of keys."""

from __future__ import annotations

import zlib

import numpy as np


class Dice:
    """Pseudo-random numbers that are a function of the seed, of what they are for, and of the keys given."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def bits(self, what: str, *keys: np.ndarray) -> np.ndarray:
        """64 bits (uint64) for each row."""
        state = np.uint64(zlib.crc32(f"{self.seed} {what}".encode()))
        for key in keys:
            state = _mixed(key.astype(np.uint64) ^ (state << np.uint64(1)))
        return state

    def uniform(self, what: str, *keys: np.ndarray) -> np.ndarray:
        """Numbers from 0 up to, but not, 1."""
        return (self.bits(what, *keys) >> np.uint64(11)) * 2.0**-53

    def below(self, stop: int | np.ndarray, what: str, *keys: np.ndarray) -> np.ndarray:
        """Whole numbers from 0 up to, but not, `stop`."""
        return (self.uniform(what, *keys) * stop).astype(np.int64)

    def few(self, stop: int | np.ndarray, what: str, *keys: np.ndarray) -> np.ndarray:
        """The same, but heavy-tailed: small numbers are common, large ones rare."""
        uniform = self.uniform(what, *keys)
        return (uniform * uniform * stop).astype(np.int64)

    def shuffled(self, numbers: np.ndarray, bits: int, what: str) -> np.ndarray:
        """Another order of the numbers 0 .. 2**bits - 1: the place of each of `numbers` in it."""
        half, mask = np.uint64((bits + 1) // 2), np.uint64((1 << bits) - 1)
        for turn in range(3):
            factor = self.bits(f"{what} {turn}", np.zeros(1, np.uint64)) | np.uint64(1)
            numbers = (numbers * factor) & mask
            numbers = numbers ^ (numbers >> half)
        return numbers


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words that leaves no visible pattern (the finaliser of SplitMix64)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
