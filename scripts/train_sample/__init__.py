"""Train, judge and export the sample checkpoint `samples/tiny` (see README.md beside this file)."""
