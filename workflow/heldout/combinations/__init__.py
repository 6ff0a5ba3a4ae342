"""Rules that combine the scores of several methods, one file each."""
