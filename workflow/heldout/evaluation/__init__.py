"""From scores and labels to numbers: metrics with intervals, tables, and the manifest of all files behind them."""
