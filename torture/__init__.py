"""A campaign against the program that anyone can repeat: ``python -m torture`` (``make torture``).

Every part has ``run(quick, seed) -> list[Count]``: how often something was done to the program, and every time that
the program did not do what docs/reliability.md promises.
"""
