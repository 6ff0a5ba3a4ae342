"""From scores and labels to numbers: metrics with intervals, tables, and the record of what they were made from."""
