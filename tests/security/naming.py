"""Names of code that a file may say, and ways to put them into each of its fields."""

import copy

from robustkit.errors import RobustkitError

# What a file may say to reach the modules that lie in the working folder, one for each way that a name was ever taken.
NAMES = ("keras:Net", "evil:Net", "evil.py:Net", "timm:evil.py:Net", "robustkit:evil.py:Net", "evil", "evil.Net",
         "pkg.evil:Net", "timm", "evil:Net,level=1", "./evil.py:Net", "zoobot:evil:Net", "TIMM:evil", "timm:evil\n",
         "hf-hub:evil", "local-dir:.", "timm:hf-hub:evil/evil")  # fmt: skip


def leaves(value, path=()):
    """Where each value of a JSON document is, and where a new key could be."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))


def changed(value, path, new):
    """A copy with another value at a place."""
    if not path:
        return new
    made = copy.deepcopy(value)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return made


def each_field(document, names=NAMES):
    """The document with each of its values replaced by each of the names, alone and in a list."""
    for number, path in enumerate(leaves(document)):
        name = names[number % len(names)]
        for new in (name, [name]):
            yield path, changed(document, path, new)


def quietly(call, *arguments, **more):
    """Calls a function, which may raise no error but those that robustkit words."""
    try:
        call(*arguments, **more)
    except RobustkitError as error:
        return error
    return None
