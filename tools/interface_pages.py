"""The reference of the Python interface for the site: which names stand on which page, in which order.

What is said about a name is its docstring and its signature, which mkdocstrings puts in place.
"""

from __future__ import annotations

OF_OTHERS = {
    "methods": (
        "Writing a method",
        "What the author of a method imports from `nlcli.methods`, and the battery that the method must pass. "
        "[Add your own](../add-your-own.md) shows them at work.",
        [
            "nlcli.methods.base.method.Method",
            "nlcli.methods.base.contract.MethodConfig",
            "nlcli.methods.base.contract.Problem",
            "nlcli.methods.base.contract.Phase",
            "nlcli.methods.base.contract.Batch",
            "nlcli.methods.base.linear.LinearMethod",
            "nlcli.networks.linear_layer.LinearLayer",
            "nlcli.methods.base.losses",
            "nlcli.training.checks.check_method",
        ],
    ),
    "detectors": (
        "Writing a detector",
        "What the author of a detector subclasses, and the battery that the detector must pass. "
        "[Add your own](../add-your-own.md) shows them at work.",
        [
            "nlcli.detection.base.Detector",
            "nlcli.detection.base.DetectorConfig",
            "nlcli.detection.checks.check_detector",
        ],
    ),
}


def function_names() -> list[str]:
    """The functions of the package, in the order of the commands."""
    from nlcli.stages.commands import commands

    return [command.python_name for command in commands().values()]


def object_names() -> list[str]:
    """What the package offers besides."""
    from nlcli import __all__ as offered

    return [name for name in offered if name not in function_names() and not name.startswith("__")]


def interface_pages() -> dict[str, str]:
    """Markdown of every page of the section, by its place in it."""
    from nlcli.stages.commands import commands

    listed = [
        f"| [`{command.python_name}`](functions.md#nlcli.{command.python_name}) | {command.about} |"
        for command in commands().values()
    ]
    pages = {
        "index.md": "\n".join(
            [
                "# Python interface",
                "",
                "What `import nlcli` offers. [The pipeline as a script](../python.md) shows it at work.",
                "",
                "## Functions",
                "",
                "| function | |",
                "|---|---|",
                *listed,
                "",
                "## Objects",
                "",
                ", ".join(f"[`{name}`](objects.md#nlcli.{name})" for name in object_names()) + ".",
                "",
                "## For authors",
                "",
                *(f"- [{title}]({place}.md)" for place, (title, _, _) in OF_OTHERS.items()),
                "",
            ]
        ),
        "functions.md": page(
            "Functions",
            "Every command as a function: options by keyword, the directory that was made as result.",
            [f"nlcli.{name}" for name in function_names()],
        ),
        "objects.md": page(
            "Objects", "What else is imported from `nlcli`.", [f"nlcli.{name}" for name in object_names()]
        ),
    }
    return pages | {f"{place}.md": page(*parts) for place, parts in OF_OTHERS.items()}


def page(title: str, about: str, names: list[str]) -> str:
    """A page on which mkdocstrings describes ``names``."""
    parts = [f"# {title}", "", about, ""]
    for name in names:
        parts += [f"::: {name}", ""]
    return "\n".join(parts)
