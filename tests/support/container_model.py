"""What the daemon may answer when several clients work on the same containers, and a check of what it did answer.

A slot is a pair of names. Its state says which container has which name and what each container is doing. A request is
a program of small steps, each of which may happen at any moment between the request and its answer. A history is legal
when some order of the steps explains every answer: linear per container, although no request holds a container for long.
"""
import collections

#: st: created, running, paused, exited, between (two runs of a restart policy). waiting: requests that wait for the
#: end of this run. dying: told to end, so that no policy starts it again. doomed: auto-removal is due. removing: somebody removes it.
Box = collections.namedtuple("Box", "kind st dying waiting doomed removing")
#: names: for each of the two names None, a number of a box, or RESERVED. boxes: ((number, Box), ...).
State = collections.namedtuple("State", "names boxes")
Op = collections.namedtuple("Op", "number what name begin end answer")

RESERVED = -1
START = State((None, None), ())
KINDS = ("steady", "brief", "looping", "auto")
RUNS = ("running", "paused", "between")
ENDS_BY_ITSELF = ("brief", "looping")


def box_of(state, number):
    return dict(state.boxes).get(number)


def with_box(state, number, box):
    boxes = dict(state.boxes)
    if box is None:
        boxes.pop(number, None)
    else:
        boxes[number] = box
    return state._replace(boxes=tuple(sorted(boxes.items())))


def with_name(state, name, value):
    names = list(state.names)
    names[name] = value
    return state._replace(names=tuple(names))


def ended(box):
    """What a box may be after the end of its run."""
    after = box._replace(waiting=(), st="exited")
    if box.kind == "looping" and not box.dying and not box.removing:
        return [after._replace(st="between")]
    if box.kind == "auto" and not box.removing:
        return [after._replace(doomed=True), after]  # a restart in progress keeps it
    return [after]


def by_itself(state):
    """States that may follow without any request."""
    for number, box in state.boxes:
        # A paused one ends when its program had ended just before the pause.
        if box.st in ("running", "paused") and (
                box.dying or box.removing or box.doomed or box.kind in ENDS_BY_ITSELF):
            for after in ended(box):
                yield with_box(state, number, after)
        # Who waits for an end kills a container that somebody has paused meanwhile.
        if box.st == "paused" and (box.removing or box.doomed or box.waiting):
            yield with_box(state, number, box._replace(st="running"))
        if box.st == "between" and not box.removing:
            yield with_box(state, number, box._replace(st="running", dying=False))
        if box.doomed and not box.removing:
            yield with_box(state, number, box._replace(removing=True))
        if box.doomed and box.removing and box.st not in RUNS:
            yield remove_box(state, number)
    for name, value in enumerate(state.names):
        if value is not None and value != RESERVED and value < 0:
            yield with_name(state, name, None)


def remove_box(state, number):
    """The container is gone; its name is free a moment later."""
    names = tuple(-2 - number if value == number else value for value in state.names)
    return with_box(state, number, None)._replace(names=names)


def told_to_end(box, waiter=None):
    """A signal that ends it has been sent, perhaps by a request that waits for the end."""
    if box.st == "between":
        return box._replace(st="exited", waiting=(), dying=True)
    waiting = box.waiting if waiter is None else tuple(sorted(box.waiting + (waiter,)))
    return box._replace(st="running", dying=True, waiting=waiting)


def status_of(box):
    if box.st in RUNS:
        return "restarting" if box.st == "between" else box.st
    return "removing" if box.removing else box.st


# Each step: (state, op, local) -> [(state, local or None, answer)]; an answer of None means that more follows.

def found(state, op, then):
    """The look-up by name that every request begins with."""
    number = state.names[op.name]
    if number is None or number < 0 or box_of(state, number) is None:
        return [(state, None, 404)]
    return [(state, (then, number), None)]


def step_start(state, op, local):
    if local is None:
        return found(state, op, "start")
    return do_start(state, local[1], 404, 409)


def do_start(state, number, gone, refused, running=304, done=204):
    box = box_of(state, number)
    if box is None:
        return [(state, None, gone)]
    if box.st in RUNS:
        return [(state, None, 409 if box.st == "paused" and running == 304 else running)]
    if box.removing:
        return [(state, None, refused)]
    return [(with_box(state, number, box._replace(st="running", dying=False)), None, done)]


def wait_for_end(state, number, op, local, answer):
    """Goes on when the run that was told to end has ended."""
    box = box_of(state, number)
    if box is not None and op.number in box.waiting:
        return []
    return [(state, local, answer)]


def step_stop(state, op, local):
    if local is None:
        return found(state, op, "stop")
    number, box = local[1], box_of(state, local[1])
    if local[0] == "stop":
        if box is None or box.st not in RUNS:
            return [(state, None, 304)]
        return [(with_box(state, number, told_to_end(box, op.number)), ("end", number), None)]
    return wait_for_end(state, number, op, None, 204)


def step_kill(state, op, local):
    if local is None:
        return found(state, op, "kill")
    number, box = local[1], box_of(state, local[1])
    if local[0] == "kill":
        if box is None or box.st not in RUNS:
            return [(state, None, 409)]
        if op.what == "term":
            return [(with_box(state, number, told_to_end(box)), None, 204)]
        return [(with_box(state, number, told_to_end(box, op.number)), ("end", number), None)]
    return wait_for_end(state, number, op, None, 204)


def step_restart(state, op, local):
    if local is None:
        return found(state, op, "restart")
    number, box = local[1], box_of(state, local[1])
    if local[0] == "restart":
        if box is None or box.st not in RUNS:
            return [(state, ("again", number), None)]
        return [(with_box(state, number, told_to_end(box, op.number)), ("end", number), None)]
    if local[0] == "end":
        return wait_for_end(state, number, op, ("again", number), None)
    return do_start(state, number, 500, 500, running=204)


def step_pause(state, op, local):
    if local is None:
        return found(state, op, "pause")
    box = box_of(state, local[1])
    if box is None or box.st != "running":
        return [(state, None, 409)]
    return [(with_box(state, local[1], box._replace(st="paused")), None, 204)]


def step_unpause(state, op, local):
    if local is None:
        return found(state, op, "unpause")
    box = box_of(state, local[1])
    if box is None or box.st != "paused":
        return [(state, None, 500)]
    return [(with_box(state, local[1], box._replace(st="running")), None, 204)]


def step_update(state, op, local):
    if local is None:
        return found(state, op, "update")
    box = box_of(state, local[1])
    return [(state, None, 409 if box is None or box.removing else 200)]


def step_exec(state, op, local):
    if local is None:
        return found(state, op, "exec")
    box = box_of(state, local[1])
    return [(state, None, 201 if box is not None and box.st == "running" else 409)]


def step_inspect(state, op, local):
    if local is None:
        return found(state, op, "inspect")
    box = box_of(state, local[1])
    return [(state, None, "removing" if box is None else status_of(box))]


def step_rename(state, op, local):
    other = 1 - op.name
    if local is None:
        return found(state, op, "rename")
    number = local[1]
    if local[0] == "rename":
        if box_of(state, number) is None:
            return [(state, None, 404)]
        if state.names[other] == number:
            return [(state, None, 400)]  # renamed by somebody else meanwhile
        if state.names[other] is not None:
            return [(state, None, 409)]
        return [(with_name(state, other, number), ("release", number), None)]
    if state.names[op.name] == number:
        state = with_name(state, op.name, None)
    return [(state, None, 204)]


def step_create(state, op, local):
    if local is None:
        if state.names[op.name] is not None:
            return [(state, None, 409)]
        return [(with_name(state, op.name, RESERVED), ("made",), None)]
    box = Box(op.what.split("-")[1], "created", False, (), False, False)
    return [(with_box(with_name(state, op.name, op.number), op.number, box), None, 201)]


def step_remove(state, op, local):
    if local is None:
        return found(state, op, "remove")
    number, box = local[1], box_of(state, local[1])
    if local[0] == "remove":
        if box is None:
            return [(state, None, 204)]
        if box.removing:
            return [(state, None, 409)]
        if box.st in RUNS and op.what == "rm":
            return [(state, None, 409)]
        box = box._replace(removing=True)
        if box.st == "between":
            box = told_to_end(box)
        return [(with_box(state, number, box), ("finish", number), None)]
    if local[0] == "finish":
        if box is None:
            return [(state, None, 204)]
        if box.st in RUNS:
            return []
        return [(remove_box(state, number), ("free", number), None)]
    names = tuple(None if value == -2 - number else value for value in state.names)
    return [(state._replace(names=names), None, 204)]


STEPS = {"start": step_start, "stop": step_stop, "kill": step_kill, "term": step_kill, "restart": step_restart,
         "pause": step_pause, "unpause": step_unpause, "update": step_update, "exec": step_exec,
         "inspect": step_inspect, "rename": step_rename, "rm": step_remove, "rm-f": step_remove}
STEPS.update({"create-" + kind: step_create for kind in KINDS})


class Illegal(AssertionError):
    """No order of the requests explains an answer."""


def expand(worlds, ops):
    """All worlds (state, locals of the open requests) that can be reached from these without another answer."""
    todo, seen = list(worlds), set(worlds)
    while todo:
        state, running = todo.pop()
        after = [(other, running) for other in by_itself(state)]
        for number, local in running:
            if local == "done":
                continue
            for new, next_local, answer in STEPS[ops[number].what](state, ops[number], local):
                if answer is not None and answer != ops[number].answer:
                    continue  # it is known what was answered: this is not what happened
                rest = tuple(sorted((item for item in running if item[0] != number), key=lambda item: item[0]))
                mine = (number, "done" if answer is not None else next_local)
                after.append((new, tuple(sorted(rest + (mine,), key=lambda item: item[0]))))
        for world in after:
            if world not in seen:
                seen.add(world)
                todo.append(world)
    return seen


def check(history):
    """Raises Illegal when the answers of one slot have no explanation. `history`: Ops with times and answers.

    Answers are status codes; of an inspect the container's status.
    """
    ops = {op.number: op for op in history}
    moments = sorted([(op.begin, 0, op.number) for op in history] + [(op.end, 1, op.number) for op in history])
    worlds = {(START, ())}
    for at, (_, is_answer, number) in enumerate(moments):
        if not is_answer:
            worlds = {(state, tuple(sorted(running + ((number, None),), key=lambda item: item[0])))
                      for state, running in worlds}
            continue
        reached = expand(worlds, ops)
        worlds = {(state, tuple(item for item in running if item[0] != number))
                  for state, running in reached if (number, "done") in running}
        if not worlds:
            lines = ["%-7s %s" % ("answer" if end else "request", ops[n]) for _, end, n in moments[max(0, at - 30):at + 1]]
            states = sorted({str(state) for state, _ in reached})[:5]
            raise Illegal("no order explains the answer %r to %s\n%s\npossible before:\n%s" % (
                ops[number].answer, ops[number].what, "\n".join(lines), "\n".join(states)))
    return len(worlds)
