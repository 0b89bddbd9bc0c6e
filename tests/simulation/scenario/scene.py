"""All that one scenario has on its stage, and what is made ready before it starts."""

from collections.abc import Container, Sequence
from dataclasses import fields
from typing import Any, TypeAlias, get_args

from byzsgd.attacks import resolve
from byzsgd.cluster import Cluster, Mode, NodeId, Plan
from byzsgd.protocol import Effect, Event, Send
from tests.simulation.scenario.arithmetic import Numbers
from tests.simulation.scenario.breaches import Breaches
from tests.simulation.scenario.computing import Computing
from tests.simulation.scenario.post import Directory, Letter, is_crowd, named, vector_of
from tests.simulation.scenario.stage import Lie, Stage
from tests.simulation.scenario.telling import Teller, where

Words: TypeAlias = Sequence[str]


class Scene:
    """All that one scenario has on its stage; `cluster` sets it up."""

    def __init__(self) -> None:
        self.teller = Teller()
        self.is_set_up = self.has_started = False

    def open(self, cluster: Cluster, plan: Plan, rate: float, initial: Numbers) -> None:
        self.is_set_up = True
        liars: dict[NodeId, Lie] = {}
        self.breaches = Breaches(cluster, plan, liars)
        self.computing = Computing(cluster, rate, self.breaches)
        self.stage = Stage(cluster, plan, initial, self.computing.answer, self._told, liars)
        self.directory = Directory(cluster, self.stage.strangers)

    def _told(self, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        self.teller.tell(node, self.stage.machines[node], event, effects)
        for effect in effects:
            if isinstance(effect, Send):
                self.breaches.shown(node, effect)

    def nodes(self, words: Words, allowed: Container[NodeId], otherwise: str) -> list[NodeId]:
        nodes = list(self.directory.nodes(words))
        for node in nodes:
            if node not in allowed:
                raise ValueError(f"{node} {otherwise}")
        return nodes

    def found(self, words: Words) -> list[Letter]:
        address = self.directory.address(words)
        return [one for one in self.stage.letters if address.fits(one)]

    def fitting(self, vector: Numbers) -> Numbers:
        if len(vector) != len(self.stage.initial):
            raise ValueError(f"a vector has {len(self.stage.initial)} numbers here, as initial has")
        return vector

    def positions(self) -> list[str]:
        """Where everybody is, instead of all that has happened."""
        self.teller.forget()
        return where(self.stage)


def cluster(scene: Scene, words: Words) -> list[str]:
    options = dict(_option(word) for word in words)
    rate, initial = options.pop("rate", 0.5), options.pop("initial", 8.0)
    of_cluster, of_plan = ({field.name for field in fields(kind)} for kind in (Cluster, Plan))
    if wrong := sorted(options.keys() - of_cluster - of_plan):
        raise ValueError(f"neither Cluster nor Plan has {', '.join(wrong)}")
    scene.open(
        Cluster(**{name: value for name, value in options.items() if name in of_cluster}),
        Plan(**{name: value for name, value in options.items() if name in of_plan}),
        rate,
        initial if isinstance(initial, tuple) else (float(initial),),
    )
    return []


def target(scene: Scene, words: Words) -> list[str]:
    vector, rest = vector_of(words)
    scene.computing.targets |= dict.fromkeys(scene.directory.nodes(rest), scene.fitting(vector))
    return []


def liars(scene: Scene, words: Words) -> list[str]:
    options = dict(_option(word) for word in words if "=" in word)
    plain = [word for word in words if "=" not in word]
    attack = plain.pop() if plain and not is_crowd(plain[-1]) else None
    if attack:
        resolve(attack).check(options)
    scene.stage.liars |= dict.fromkeys(scene.directory.nodes(plain), Lie(attack, options))
    return []


def strangers(scene: Scene, words: Words) -> list[str]:
    scene.stage.strangers += [node for word in words for node in named(word)]
    return []


def start(scene: Scene, words: Words) -> list[str]:
    scene.has_started = True
    scene.stage.start()
    return scene.positions()


def _option(word: str) -> tuple[str, Any]:
    name, found, value = word.partition("=")
    if not found:
        raise ValueError(f"{word!r}: write options like steps=3")
    if value in ("true", "false"):
        return name, value == "true"
    if "," in value:
        return name, tuple(float(part) for part in value.split(","))
    if value in get_args(Mode):
        return name, value
    return name, int(value) if value.isdigit() else float(value)
