"""Registries: what a name stands for, among ours and among those of other packages (docs/add-your-own.md).

A package offers a method, a detector or a source by an entry point of the group ``nlcli.methods``,
``nlcli.detectors``, ``nlcli.tag_detectors`` or ``nlcli.sources``; code does so by ``register``. A name is
imported when it is asked for. Entry points are looked at when a name is not ours, or when a list is asked
for: whatever is wrong with one of them is told in a sentence that names its package, and nothing else is hurt.

The registries themselves stand in their rooms. Nothing here knows what a method or a detector is.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from nlcli.console import say
from nlcli.errors import NlcliError, first_problem, require_usable, shortened, unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pydantic import BaseModel

Thing = TypeVar("Thing")

_REGISTRIES = {
    "method": "nlcli.methods:METHODS",
    "detector": "nlcli.detection:DETECTORS",
    "tag-detector": "nlcli.detection.tags:TAG_DETECTORS",
    "source": "nlcli.stages.commands:SOURCES",
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TITLE = re.compile(r"# `(?P<name>[a-z0-9-]+)`: (?P<title>.+) \((?P<paper>[^()]+)\)")


def register(kind: str, name: str, target: Any) -> None:
    """Make ``target`` known as the ``kind`` called ``name``, in this process.

    A kind is ``method``, ``detector``, ``tag-detector`` (of several labels an image) or ``source``.

    Args:
        target: The class (of a source, its ``StageCommand``), or ``"module:name"``, imported when it is asked for.

    Raises:
        NlcliError: another one has this name, it is not one that a command line can take, or the target is
            nothing of this kind.
    """
    registry_of(kind).register(name, target)


def registry_of(kind: str) -> Registry[Any]:
    """The registry of the things of one ``kind``."""
    if kind not in _REGISTRIES:
        raise NlcliError(unknown_name(kind, _REGISTRIES, "kind of thing to register"))
    registry: Registry[Any] = load(_REGISTRIES[kind])
    return registry


def load(reference: str) -> Any:
    """The object that ``"module:name"`` names."""
    module, _, name = reference.partition(":")
    return attrgetter(name)(importlib.import_module(module))


class Registry(Generic[Thing]):
    """Things of one kind by name.

    Args:
        kind: What such a thing is called in sentences.
        group: The entry points by which packages offer theirs.
        ours: By name the thing, or ``"module:name"``; in the order of lists.
        base: ``"module:class"`` of what every thing is an instance of.
    """

    def __init__(self, kind: str, group: str, ours: Mapping[str, Thing | str], base: str) -> None:
        self.kind, self.group, self.base = kind, group, base
        self._ours = dict(ours)
        self._registered: dict[str, Thing | str] = {}
        self._told: set[str] = set()

    # --- names ---

    @property
    def ours(self) -> tuple[str, ...]:
        """The names of those that are part of nlcli, in the order of lists."""
        return tuple(self._ours)

    def names(self) -> list[str]:
        """Every name: ours, then those that were registered, then those of packages by the alphabet."""
        return [*self._here(), *self._offers(self._tell)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._ours or name in self.names()

    def name_problem(self, name: str) -> str | None:
        """Why ``name`` cannot be the name of such a thing; None where it can."""
        if _NAME.fullmatch(name) is not None:
            return None
        return f"'{name}' is no name of a {self.kind}: it takes small letters, digits and hyphens, such as 'mine'"

    def register(self, name: str, target: Thing | str) -> None:
        """See ``nlcli.registry.register``. The same class once more, as a notebook defines it, replaces itself."""
        problem = self.name_problem(name)
        if problem is not None:
            raise NlcliError(problem)
        there = self._here().get(name)
        offer = self._offers().get(name)
        if offer is not None and offer.value != _reference(target):
            raise NlcliError(f"{self.kind} '{name}' is offered by the package {_package(offer)}; choose another name")
        if there is not None and (name in self._ours or _reference(there) != _reference(target)):
            raise NlcliError(f"there is a {self.kind} '{name}' already ({_reference(there)}); choose another name")
        fault = None if isinstance(target, str) else self._fault(name, target)
        if fault is not None:
            raise NlcliError(f"{self.kind} '{name}' ({_reference(target)}) {fault}")
        self._registered[name] = target

    # --- things ---

    def get(self, name: str) -> Thing:
        """The thing called ``name``.

        Raises:
            NlcliError: there is none, with the nearest name; or what a package offers cannot be used.
        """
        return self._got(name)[0]

    def reference(self, name: str) -> str:
        """``"module:name"`` of the thing called ``name``, which is not imported.

        Raises:
            NlcliError: there is none, with the nearest name.
        """
        if name in self._here():
            return _reference(self._here()[name])
        offers = self._offers(self._tell)
        if name not in offers:
            raise NlcliError(unknown_name(name, [*self._here(), *offers], self.kind))
        return offers[name].value

    def items(self) -> Iterator[tuple[str, Thing]]:
        """Every name and its thing; those that cannot be used are told and left out."""
        for name in self.names():
            try:
                yield name, self.get(name)
            except NlcliError as error:
                if name in self._ours:
                    raise
                self._tell(str(error))

    def _got(self, name: str) -> tuple[Thing, str]:
        """The thing, and in words where it comes from."""
        if name in self._ours:
            return self._loaded(self._ours[name]), "nlcli"
        if name in self._registered:
            target = self._registered[name]
            source = f"registered as {_reference(target)}"
        else:
            offers = self._offers(self._tell)
            if name not in offers:
                raise NlcliError(unknown_name(name, [*self._here(), *offers], self.kind))
            target, source = offers[name].value, f"package {_package(offers[name])}"
        try:
            thing = self._loaded(target)
        except (Exception, SystemExit) as error:  # whatever a foreign module does
            raise NlcliError(
                f"{self.kind} '{name}' ({source}) cannot be imported: {shortened(error)}; mend or uninstall it"
            ) from error
        fault = self._fault(name, thing)
        if fault is not None:
            raise NlcliError(f"{self.kind} '{name}' ({source}) {fault}")
        return thing, source

    def _here(self) -> dict[str, Thing | str]:
        return self._ours | self._registered

    def _loaded(self, target: Thing | str) -> Thing:
        thing: Thing = load(target) if isinstance(target, str) else target
        return thing

    def _fault(self, name: str, thing: Thing) -> str | None:
        """What is wrong with a thing from outside, as the end of a sentence."""
        module, _, base = self.base.partition(":")
        if not isinstance(thing, load(self.base)):
            return f"is no {base} ({module})"
        return self._named_otherwise(name, thing)

    def _named_otherwise(self, name: str, thing: Any) -> str | None:
        if thing.name == name:
            return None
        return f"calls itself '{thing.name}'; give it the name that it is offered by"

    # --- packages ---

    def _offers(self, tell: Callable[[str], None] | None = None) -> dict[str, EntryPoint]:
        """What installed packages offer, by name; ``tell`` is told why something of it is left out."""
        from importlib.metadata import entry_points

        offers: dict[str, list[EntryPoint]] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, _package(point))):
            offers.setdefault(point.name, []).append(point)
        usable = {}
        for name, points in offers.items():
            packages = " and ".join(_package(point) for point in points)
            problem = self.name_problem(name)
            if problem is not None:
                problem = f"package {packages}: {problem}"
            elif len(points) > 1:
                problem = f"packages {packages} each offer a {self.kind} '{name}': none of them is used; uninstall one"
            elif name in self._ours:
                problem = f"package {packages} offers a {self.kind} '{name}', a name of nlcli's own: it is not used"
            elif name not in self._registered:
                usable[name] = points[0]
            if problem is not None and tell is not None:
                tell(problem)
        return usable

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            say(f"nlcli: {sentence}")


class Listed(Protocol):
    """What a class must state to be in a ``Catalogue``."""

    name: ClassVar[str]
    citation: ClassVar[str]
    """BibTeX."""
    Config: ClassVar[Any]
    """Pydantic model of its options."""


Cls = TypeVar("Cls", bound=Listed)
Config = TypeVar("Config", bound="BaseModel")


class Catalogue(Registry[type[Cls]], Generic[Cls, Config]):
    """Classes with options and, for people, a card.

    A card is the Markdown file ``cards/NAME.md`` beside the class's module. Its first line names the
    thing, what it is, and the paper; lists are made from these lines, so that they need no import of
    the modules. A class from outside that has no card is described by its docstring.

    Args:
        facts: More that ``describe`` tells of a class, as JSON values.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        ours: Mapping[str, str],
        base: str,
        facts: Callable[[type[Cls]], dict[str, Any]],
    ) -> None:
        super().__init__(kind, group, ours, base)
        self._facts = facts

    def configure(self, name: str, options: Mapping[str, Any] | None = None, preset: str | None = None) -> Config:
        """The configuration of ``name``: its defaults, then ``preset``, then ``options``.

        Raises:
            NlcliError: unknown name, preset or option, or a value out of range.
        """
        from pydantic import ValidationError

        cls, options = self.get(name), dict(options or {})
        settings: dict[str, Any] = {}
        if preset is not None:
            presets = getattr(cls, "presets", {})
            if preset not in presets:
                raise NlcliError(f"{self.kind} {name}: {_unknown(preset, presets, 'preset')}")
            settings = cls.preset_settings(preset, options)  # type: ignore[attr-defined]
        for option in sorted(options):
            if option not in cls.Config.model_fields:
                raise NlcliError(f"{self.kind} {name}: {_unknown(option, cls.Config.model_fields, 'option')}")
        try:
            config: Config = cls.Config(**{**settings, **options})
        except ValidationError as error:
            raise NlcliError(f"{self.kind} {name}: {first_problem(error)}") from error
        require_usable(options, vars(config), f"{self.kind} {name}")
        return config

    def check_statements(self, cls: type[Cls]) -> None:
        """What the batteries ask of every class: a docstring, a citation, options that are described; a card of ours.

        Raises:
            AssertionError: With a sentence that says what is missing.
        """
        assert cls.__doc__, f"{cls.__name__} has no docstring: say in a sentence what it does"
        name, citation = cls.name, cls.citation
        assert citation.lstrip().startswith("@"), f"the citation of {name} is not BibTeX"
        assert citation.count("{") == citation.count("}"), f"a brace of the citation of {name} is not closed"
        fields = getattr(cls.Config, "model_fields", None)
        assert fields is not None, f"{name}: Config is no pydantic model"
        for option, about in fields.items():
            assert about.description, f"option '{option}' of {name} has no description"
        if name in self and self.get(name) is cls:
            assert self.describe(name)["card"].strip(), f"the card of {name} is empty"

    # --- for people ---

    def listing(self) -> list[dict[str, str]]:
        """``name``, ``title`` and ``paper`` of everything; what cannot be used is told and left out."""
        rows = []
        for name in self.names():
            try:
                rows.append(self.heading(name))
            except NlcliError as error:
                if name in self._ours:
                    raise
                self._tell(str(error))
        return rows

    def describe(self, name: str) -> dict[str, Any]:
        """Everything about one: its card (Markdown), citation (BibTeX), options, and what ``facts`` adds."""
        cls = self.get(name)
        return {
            **self.heading(name),
            "card": self._card(name) or self._card_of_docstring(name),
            "citation": cls.citation,
            "options": {
                option: {"default": field.default, "description": field.description}
                for option, field in cls.Config.model_fields.items()
            },
            **self._facts(cls),
        }

    def heading(self, name: str) -> dict[str, str]:
        """``name``, ``title`` and ``paper``, by the first line of the card or of the docstring."""
        card = self._card(name)
        if card is None:
            cls, source = self._got(name)
            summary = (inspect.getdoc(cls) or cls.__name__).splitlines()[0].rstrip(".")
            return {"name": name, "title": summary, "paper": source}
        title = _TITLE.fullmatch(card.partition("\n")[0].rstrip())
        if title is None or title["name"] != name:
            raise NlcliError(f"the card of {self.kind} '{name}' does not begin with '# `{name}`: TITLE (PAPER)'")
        return title.groupdict()

    def _card(self, name: str) -> str | None:
        try:
            card = _card_beside(self.reference(name).partition(":")[0], name)
        except (OSError, UnicodeDecodeError) as error:
            raise NlcliError(f"the card of {self.kind} '{name}' cannot be read: {shortened(error)}") from error
        if card is None and name in self._ours:
            raise FileNotFoundError(f"{self.kind} {name} has no card")
        return card

    def _card_of_docstring(self, name: str) -> str:
        heading = self.heading(name)
        text = (inspect.getdoc(self.get(name)) or "").partition("\n")[2].strip()
        return f"# `{name}`: {heading['title']} ({heading['paper']})\n\n{text}\n"

    def _fault(self, name: str, thing: type[Cls]) -> str | None:
        module, _, base = self.base.partition(":")
        if not (isinstance(thing, type) and issubclass(thing, load(self.base))):
            return f"is not a subclass of {base} ({module})"
        missing = [needed for needed in ("name", "citation", "Config") if not hasattr(thing, needed)]
        if missing:
            return f"does not state {' and '.join(missing)}, as every {self.kind} does"
        return self._named_otherwise(name, thing)


def _unknown(name: str, known: Mapping[str, Any], kind: str) -> str:
    return unknown_name(name, known, kind) if known else f"unknown {kind} '{name}'; it has none"


def _reference(target: Any) -> str:
    """``module:name`` of a class or another thing, or the string that says so already."""
    if isinstance(target, str):
        return target
    owner = target if isinstance(target, type) else type(target)
    return f"{owner.__module__}:{owner.__qualname__}"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _card_beside(module: str, name: str) -> str | None:
    """The text of ``cards/NAME.md`` in the folder of ``module``, which is not imported, though its package is."""
    try:
        spec = importlib.util.find_spec(module)
    except (
        Exception,
        SystemExit,
    ):  # a foreign package raises anything as it is imported; __main__ of a notebook has no file
        return None
    if spec is None:
        return None
    from importlib import resources

    package = module if spec.submodule_search_locations is not None else spec.parent
    folder = resources.files(package) if package else Path(spec.origin or ".").parent
    place = folder / "cards" / f"{name}.md"
    return place.read_text(encoding="utf-8") if place.is_file() else None
