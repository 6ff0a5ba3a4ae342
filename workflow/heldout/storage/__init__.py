"""The files of the workflow: their content and names, and how they are written, hashed and read."""
