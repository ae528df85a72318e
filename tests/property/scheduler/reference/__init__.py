"""The plugins' rules, restated node by node in plain Python, for property tests to hold the columns to."""
