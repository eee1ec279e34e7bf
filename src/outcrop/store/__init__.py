"""What must be remembered between runs: today the keys, in one file of the data folder."""
