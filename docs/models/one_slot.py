"""Exhaustive exploration of a card without a pending slot: one slot for each kind, overwritten in place (ADR 0009).

usage: one_slot.py            fails unless the product keeps what ADR 0009 says, and every variant next to it breaks something
       one_slot.py table      every variant (half a minute)
       one_slot.py VARIANT    one variant, with the way to each invariant that it breaks

A variant is three words: when the authority is told that the old certificate's key is gone (before it is overwritten, right after,
or when the new certificate is confirmed), whether the card remembers the name of the certificate that it overwrote, and whether the
command that overwrites names what it is to overwrite. The product is `after remembers named`. A fourth word, `asked-first`, has the
certificate asked for before anything is overwritten, as a key that is made in the HSM would allow (ADR 0010): it keeps the same.

Two terminals and successive certificates 0 (the old one), 1, 2 of one kind. Requests may be lost, delayed, delivered with the answer
lost, or arrive again later; the card leaves at any moment, power is cut at any command (each is atomic: done, or not), and comes back to
any terminal; a terminal may die, or stall with a stale idea of the card and go on later; the authority may give up on an unconfirmed
certificate at any moment. Recovery knows nothing but what the card and the authority say.
"""
from collections import deque, namedtuple
from itertools import product
import sys

N = 3          # certificates
IN_FLIGHT = 1  # delayed requests at a time

# loc: A|B|out; slot: None | ('K', key of certificate i, name that it overwrote or None) | ('C', i)
# au: state of each certificate at the authority: - none, I issued, V valid, R given up before it was valid, X revoked after it was
# t: (step, certificate, predecessor, slot as it was seen) of each terminal; net: requests under way; made: keys so far
State = namedtuple("State", "loc slot au t net made")
IDLE = ("idle", None, None, None)


def authority(s, request):
    kind, i = request
    au = list(s.au)
    if kind == "ir" and au[i] == "-":
        au[i] = "I"
    elif kind == "confirm" and au[i] == "I":
        au[i] = "V"
    elif kind == "revoke" and au[i] == "V":
        au[i] = "X"
    return s._replace(au=tuple(au))


def at(s, k, step, certificate=None, predecessor=None, seen=None):
    t = list(s.t)
    t[k] = (step, certificate, predecessor, seen)
    return s._replace(t=tuple(t))


def call(s, k, request, then):
    yield at(s, k, *IDLE)                                                # lost; gives up
    delivered = authority(s, request)
    yield at(delivered, k, *IDLE)                                        # answer lost; gives up
    yield at(delivered, k, *then(delivered))                             # answered
    if len(s.net) < IN_FLIGHT:
        yield at(s._replace(net=s.net | {request}), k, *IDLE)            # delayed
        yield at(delivered._replace(net=s.net | {request}), k, *then(delivered))  # answered; a copy comes later


def steps(s, variant):
    told, remembers, named, *asked = variant
    asks_first = asked == ["asked-first"]
    for place in ("A", "B", "out"):
        if place != s.loc and "out" in (place, s.loc):
            yield s._replace(loc=place)
    for request in s.net:
        yield authority(s, request)._replace(net=s.net - {request})
    for i in range(N):
        if s.au[i] == "I":
            yield s._replace(au=s.au[:i] + ("R",) + s.au[i + 1:])
    for k in (0, 1):
        step, i, old, seen = s.t[k]
        here = s.loc == "AB"[k]
        if step != "idle":
            yield at(s, k, *IDLE)                                        # the process dies
        if step == "idle" and here:
            yield at(s, k, "look")
        if step == "look" and here:
            if s.slot is None:
                yield at(s, k, "generate", None, None, None)
            elif s.slot[0] == "C":
                yield at(s, k, "ask", s.slot[1], None, s.slot)
            elif s.slot[2] is not None:
                yield at(s, k, "ask-overwritten", None, s.slot[2], s.slot)
            else:
                yield at(s, k, "generate", None, None, s.slot)
        if step == "ask":
            if s.au[i] == "I":
                yield at(s, k, "confirm", i)
            elif s.au[i] == "V":                                         # done, or to be renewed
                yield at(s, k, "revoke" if told == "before" else "generate", None, i, seen)
            else:
                yield at(s, k, "discard", i)
                yield at(s, k, "generate", None, None, seen)             # asked anew, over it
        if step == "ask-overwritten":
            if s.au[old] == "V":
                yield at(s, k, "revoke", None, old, seen)
            else:
                yield at(s, k, "generate", None, None, seen)
        if step == "generate" and asks_first and s.made < N:
            made = s._replace(made=s.made + 1)
            answered = lambda d: ("import", s.made, old, seen) if d.au[s.made] in "IV" else IDLE
            yield from call(made, k, ("ir", s.made), answered)
        if step == ("import" if asks_first else "generate") and here and (s.slot == seen or named == "unnamed"):
            new = i if asks_first else s.made
            if new < N:
                overwrote = None
                if remembers == "remembers" and s.slot:
                    overwrote = s.slot[1] if s.slot[0] == "C" else s.slot[2]
                done = s._replace(slot=("K", new, overwrote), made=max(s.made, new + 1))
                if told == "after" and old is not None:
                    yield at(done, k, "revoke", new, old, done.slot)
                else:
                    yield at(done, k, "write" if asks_first else "request", new, old)
                yield at(done, k, *IDLE)                                 # done, its answer lost
        if step == "revoke":
            # Before the overwriting, after it, after the confirmation, or found by a look.
            if told == "last" and i is not None:
                after = lambda d: IDLE
            elif i is not None:
                after = lambda d: ("write" if asks_first else "request", i, None, None)
            else:
                after = lambda d: ("generate", None, None, seen)
            yield from call(s, k, ("revoke", old), after)
        if step == "request":
            yield from call(s, k, ("ir", i), lambda d: ("write", i, old, None) if d.au[i] in "IV" else IDLE)
        if step == "write" and here and s.slot and s.slot[:2] == ("K", i):
            yield at(s._replace(slot=("C", i)), k, "confirm", i, old)
            yield at(s._replace(slot=("C", i)), k, *IDLE)
        if step == "confirm":
            def confirmed(d):
                if d.au[i] == "V":
                    return ("revoke", i, old, None) if told == "last" and old is not None else IDLE
                return ("discard", i, None, None)
            yield from call(s, k, ("confirm", i), confirmed)
        if step == "discard" and here and s.slot == ("C", i):
            yield at(s._replace(slot=None), k, *IDLE)


def has_key(s, i):
    return s.slot == ("C", i)


def remembered(s, i):
    return s.slot is not None and s.slot[0] == "K" and s.slot[2] == i


def works(s):
    return s.slot is not None and s.slot[0] == "C" and s.au[s.slot[1]] == "V"


# What is asked of every state, strongest first: the first that holds is the answer.
FORMS = {
    "I1": [("holds", lambda s: all(has_key(s, i) for i in range(N) if s.au[i] == "V")),
           ("remembered", lambda s: all(has_key(s, i) or remembered(s, i) for i in range(N) if s.au[i] == "V"))],
    "I2": [("holds", lambda s: works(s) or s.slot is None or s.slot[0] == "K"),
           ("unconfirmed", lambda s: s.slot is None or s.slot[0] == "K" or s.au[s.slot[1]] in "VIR")],
    "I3": [("holds", works),
           ("until overwritten", lambda s: works(s) or s.slot != ("C", 0))],
}


def explore(variant, until=lambda s: False):
    """All states, each with one that it came from, and with all of them; nothing as soon as a state is met that ends the search."""
    start = State("A", ("C", 0), ("V",) + ("-",) * (N - 1), (IDLE, IDLE), frozenset(), 1)
    parent, queue, edges = {start: None}, deque([start]), {}
    while queue:
        s = queue.popleft()
        for n in steps(s, variant):
            if until(n):
                return None
            edges.setdefault(n, []).append(s)
            if n not in parent:
                parent[n] = s
                queue.append(n)
    return parent, edges


def agreed(s):
    """Nothing valid but what the card's key belongs to, nothing on the card that is not valid, nothing under way."""
    quiet = not s.net and s.t == (IDLE, IDLE)
    return quiet and FORMS["I1"][0][1](s) and FORMS["I2"][0][1](s) and "I" not in s.au


def stuck_states(parent, edges):
    """States from which no way leads to agreement."""
    good = {s for s in parent if agreed(s)}
    queue = deque(good)
    while queue:
        for p in edges.get(queue.popleft(), ()):
            if p not in good:
                good.add(p)
                queue.append(p)
    return [s for s in parent if s not in good]


def judge(variant, ways=False):
    parent, edges = explore(variant)
    found = {}
    for invariant, forms in FORMS.items():
        for form, holds in forms:
            broken = next((s for s in parent if not holds(s)), None)
            if broken is None:
                found[invariant] = form
                break
            if ways:
                print(f"{invariant} '{form}' is broken:")
                trail = []
                while broken is not None:
                    trail.append(broken)
                    broken = parent[broken]
                for s in reversed(trail):
                    print("   ", tuple(s))
        else:
            found[invariant] = "broken"
    stuck = stuck_states(parent, edges)
    if ways and stuck:
        print("no way to agreement from:", tuple(stuck[0]))
    found["I5, I7"] = f"broken in {len(stuck)}" if stuck else "holds"
    return len(parent), found


PRODUCT = ("after", "remembers", "named")
KEPT = {"I1": "remembered", "I2": "unconfirmed", "I3": "until overwritten", "I5, I7": "holds"}
# The product with one word changed, and the invariant that this costs.
NEIGHBOURS = {
    ("before", "remembers", "named"): "I3",
    ("last", "remembers", "named"): "I1",
    ("after", "forgets", "named"): "I1",
    ("after", "remembers", "unnamed"): "I1",
}


def breaks(variant, invariant):
    """Is there a state in which the form that the product keeps does not hold? Stops at the first."""
    holds = dict(FORMS[invariant])[KEPT[invariant]]
    return explore(variant, until=lambda s: not holds(s)) is None


def table():
    print(f"{'variant':26}{'states':>8}  " + "".join(f"{name:20}" for name in KEPT))
    for variant in product(("before", "after", "last"), ("remembers", "forgets"), ("named", "unnamed")):
        states, found = judge(variant)
        print(f"{' '.join(variant):26}{states:>8}  " + "".join(f"{found[name]:20}" for name in KEPT))


if sys.argv[1:] == ["table"]:
    table()
elif len(sys.argv) > 1:
    print(judge(tuple(sys.argv[1:]), ways=True))
else:
    states, found = judge(PRODUCT)
    print(f"{' '.join(PRODUCT)}: {states} states, {found}")
    assert found == KEPT
    states, found = judge((*PRODUCT, "asked-first"))
    print(f"{' '.join(PRODUCT)} asked-first: {states} states, {found}")
    assert found == KEPT
    for variant, invariant in NEIGHBOURS.items():
        assert breaks(variant, invariant), variant
        print(f"{' '.join(variant)}: breaks {invariant}")
