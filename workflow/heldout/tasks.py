"""How a class makes a task: which classes a protocol calls normal. Imports nothing, since the plan asks too."""


def normal_classes(protocol: str, held_out: str, classes: list[str]) -> list[str]:
    """Return the classes that a protocol calls normal; the others are anomalous."""
    return [name for name in classes if (name == held_out) == (protocol == "one_class")]
