"""Galaxy encounters: tidal tails, bridges, shells and remnants from a restricted three-body calculation.

The two centres move in each other's extended potential and lose energy to dynamical friction; stars are massless
and feel both. That is enough for the shapes of tails and bridges (Toomre & Toomre 1972, doi:10.1086/151823), and it
is how the Galaxy Zoo merger models are made (Holincheck et al. 2016, doi:10.1093/mnras/stw649).

Units: the scale length of the primary's disc is 1, its mass 1, and G = 1; a star at radius 2 orbits in about 45.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_HALO = 3.0  # radius of a Hernquist potential over the disc's scale length: a rotation curve that is flat from 1 to 8
_STEP = 0.4
_START = 12.0  # separation at which the stars are put on their orbits
_COULOMB = 2.0  # logarithm in Chandrasekhar's formula
_LATEST = 400.0


@dataclass(frozen=True)
class Encounter:
    """The geometry of an encounter.

    Attributes:
        mass_ratio: Secondary over primary, in (0, 1].
        pericentre: Pericentre of the parabola on which they start, in scale lengths of the primary.
        time: Time of the picture, counted from the first pericentre.
        reach: The picture is taken earlier where the centres would pass this separation.
        discs: Whether the stars of primary and secondary start in a rotating disc, not in a spheroid.
    """

    mass_ratio: float
    pericentre: float
    time: float
    reach: float
    discs: tuple[bool, bool]


@dataclass(frozen=True, eq=False)
class Remains:
    """What an encounter leaves, seen from a random direction; scale lengths of the primary's disc.

    Attributes:
        stars: Projected positions, shape (2, S, 2): the first axis is the galaxy they belonged to.
        weights: Light of each star, shape (2, S); each galaxy's light adds to 1.
        centres: Projected positions of the two nuclei, shape (2, 2).
        separation: Separation of the nuclei, in space.
    """

    stars: np.ndarray
    weights: np.ndarray
    centres: np.ndarray
    separation: float


def meet(rng: np.random.Generator, encounter: Encounter, stars: int = 4000) -> Remains:
    """Integrates an encounter and projects it on the sky.

    Args:
        rng: Draws the stars, the planes of the discs and the direction of view.
        encounter: The geometry of the encounter.
        stars: S, the number of stars of each galaxy.
    """
    masses = (1.0, encounter.mass_ratio)
    # Radius grows as mass**0.4, the mean of what is seen for late and early types.
    lengths = (1.0, encounter.mass_ratio**0.4)
    path, speed = _orbit(encounter, masses, lengths)
    place, velocity, weights = [], [], []
    for galaxy in range(2):
        x, v, w = _stars(rng, masses[galaxy], lengths[galaxy], encounter.discs[galaxy], stars)
        place.append(x + path[0, galaxy][:, None])
        velocity.append(v + speed[galaxy][:, None])
        weights.append(w)
    x, v = np.concatenate(place, 1).astype(np.float32), np.concatenate(velocity, 1).astype(np.float32)
    v += 0.5 * _STEP * _pull(x, path[0], masses, lengths)
    for centres in path[1:]:
        x += _STEP * v
        v += _STEP * _pull(x, centres, masses, lengths)
    view = _rotation(rng)[:2]
    return Remains(
        stars=(view @ x).T.reshape(2, stars, 2),
        weights=np.stack(weights),
        centres=(view @ path[-1].T).T,
        separation=float(np.linalg.norm(path[-1, 1] - path[-1, 0])),
    )


def _orbit(
    encounter: Encounter, masses: tuple[float, float], lengths: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the two centres at every step, shape (T, 2, 3), and their first velocities, shape (2, 3)."""
    total = sum(masses)
    radial_speed = np.sqrt(2 * total / _START * max(0.0, 1 - encounter.pericentre / _START))
    r = np.array([_START, 0.0, 0.0])
    v = np.array([-radial_speed, np.sqrt(2 * total * encounter.pericentre) / _START, 0.0])
    first = v.copy()
    shares = np.array([-masses[1], masses[0]]) / total
    path, passed, elapsed = [r], 0.0, 0.0
    v = v + 0.5 * _STEP * _approach(r, v, masses, lengths)
    while passed < encounter.time and elapsed < _LATEST and not (passed and r @ r > encounter.reach**2):
        r = r + _STEP * v
        v = v + _STEP * _approach(r, v, masses, lengths)
        path.append(r)
        elapsed += _STEP
        if passed or r @ v > 0:
            passed += _STEP
    return np.stack(path)[:, None, :] * shares[:, None], first[None] * shares[:, None]


def _approach(r: np.ndarray, v: np.ndarray, masses: tuple[float, float], lengths: tuple[float, float]) -> np.ndarray:
    """Acceleration of the separation: the pull of both halos, and friction in the primary's."""
    distance = np.sqrt(r @ r + 0.01)
    pull = sum(mass / (distance + _HALO * length) ** 2 for mass, length in zip(masses, lengths, strict=True))
    density = masses[0] * _HALO / (2 * np.pi * distance * (distance + _HALO) ** 3)
    friction = 4 * np.pi * _COULOMB * masses[1] * density / (v @ v + 0.05) ** 1.5
    return -pull * r / distance - friction * v


def _pull(x: np.ndarray, centres: np.ndarray, masses: tuple[float, float], lengths: tuple[float, float]) -> np.ndarray:
    """Acceleration of stars at x, shape (3, S), by the two halos."""
    total = np.zeros_like(x)
    for centre, mass, length in zip(centres, masses, lengths, strict=True):
        offset = x - centre.astype(np.float32)[:, None]
        distance = np.sqrt(np.einsum("as,as->s", offset, offset) + np.float32(0.01))
        offset *= np.float32(mass) / (distance * (distance + np.float32(_HALO * length)) ** 2)
        total -= offset
    return total


def _stars(
    rng: np.random.Generator, mass: float, length: float, disc: bool, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions and velocities, shape (3, S), and light, shape (S,), of a galaxy at rest."""
    # The outskirts, which make the tails, get more stars, each with less light.
    wide = 1.7
    radius = np.minimum(rng.gamma(2.0, wide, count), 7.0)
    weights = np.exp(-radius * (1 - 1 / wide))
    radius = radius * length
    speed = np.sqrt(mass * radius) / (radius + _HALO * length)
    if disc:
        turn = rng.uniform(0, 2 * np.pi, count)
        cos, sin, flat = np.cos(turn), np.sin(turn), np.zeros(count)
        x = radius * np.stack([cos, sin, flat]) + rng.normal(0, 0.08 * length, (3, count))
        v = speed * np.stack([-sin, cos, flat]) + 0.06 * speed * rng.normal(size=(3, count))
        plane = _rotation(rng)
        x, v = plane @ x, plane @ v
    else:
        x = radius * _directions(rng, count)
        v = speed * np.sqrt(rng.uniform(0, 1, count)) * _directions(rng, count)
    return x, v, weights / weights.sum()


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    direction = rng.normal(size=(3, count))
    return direction / np.linalg.norm(direction, axis=0)


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation, shape (3, 3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r))
