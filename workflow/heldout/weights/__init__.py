"""Published weights of networks that methods read, one Python file each; they are fetched like a dataset's files.

A method requests them with `when` in its registration; `heldout score` then gets their folder.
"""
