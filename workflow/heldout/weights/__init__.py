"""Published weights of networks that methods read: files that are fetched as a dataset's are, one Python file each.

A method asks for them by `when` in its registration; `heldout score` is then given the folder that holds them.
"""
