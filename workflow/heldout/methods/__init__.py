"""Anomaly scores, one file each: parameters, paper, deviations, and `score`; higher is more anomalous."""
