"""Proof that a finished snapshot is whole and that its files agree with each other (`flyem-snapshot --verify DIR`)."""
