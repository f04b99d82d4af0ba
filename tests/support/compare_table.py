"""The tables of the comparison runner: calls to send, and differences that are explained."""
import re

LINE = re.compile(r"^(?:(\w+) = )?([A-Z]+) (\S+)((?: @\S+)*)(?: (.*))?$")
# What @wrong puts in place of %V: a value of every kind JSON has, so that most are of the wrong one.
KINDS = ["5", "-1.5", "\"x\"", "true", "[1]", "{\"a\":1}", "null"]


class Call:
    """One call of the table. `key` is what the expectations name: METHOD PATH."""

    def __init__(self, place, variable, method, path, options, body):
        self.place, self.variable, self.method, self.path, self.body = place, variable, method, path, body
        self.options, self.headers = {}, []
        for key, value in options:
            if key == "header":
                name, _, content = value.partition(":")
                self.headers.append((name, content.replace("%20", " ")))
            else:
                self.options[key] = value
        self.key = "%s %s" % (method, path)

    def label(self):
        """For people: where in which table, the call, its version and the beginning of its body."""
        version = " (%s)" % self.options["api"] if "api" in self.options else ""
        return "%s %s%s%s" % (self.place, self.key, version, " " + self.body[:160] if self.body else "")


def expand(place, line):
    """The calls one line stands for: @each makes one for every version, @wrong one for every kind of value."""
    match = LINE.match(line)
    if not match:
        raise ValueError("%s is not a call: %s" % (place, line))
    variable, method, path, words, body = match.groups()
    options = [word[1:].partition("=")[::2] for word in words.split()]
    each = [value for key, value in options if key == "each"]
    wrong = any(key == "wrong" for key, _ in options)
    rest = [option for option in options if option[0] not in ("each", "wrong")]
    for version in each[0].split(",") if each else [None]:
        for value in KINDS if wrong else [None]:
            yield Call(place, variable, method, path, rest + ([("api", version)] if version else []),
                       body.replace("%V", value) if wrong else body)


def number(version):
    return [int(part) for part in version.split(".")]


def read_calls(paths, api, newest):
    """The calls for a run at version `api` against an oracle whose newest version is `newest`."""
    for path in paths:
        name = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        with open(path) as file:
            for index, line in enumerate(file, 1):
                line = line.rstrip("\n")
                if line.startswith("%newest ") and number(line.split()[1]) > number(newest):
                    break
                if not line.strip() or line[0] in "#%":
                    continue
                for call in expand("%s:%d" % (name, index), line):
                    least, most = call.options.get("min", "1.0"), call.options.get("max", "9.9999")
                    asked = call.options.get("api", api)
                    wanted = number(least) <= number(asked) <= number(most)
                    if wanted and (number(asked) <= number(newest) or "beyond" in call.options):
                        yield call


def pattern(text):
    """A pattern in which only * means something."""
    return re.compile(".*".join(re.escape(part) for part in text.split("*")) + r"\Z", re.S)


class Expected:
    """The explained differences: sections `[oracle] reason`, in them lines `call | difference`."""

    def __init__(self, path, name):
        self.rules = []
        wanted, reason = False, None
        with open(path) as file:
            for index, line in enumerate(file, 1):
                line = line.strip()
                if not line or line.startswith("#"):
                    continue
                if line.startswith("["):
                    oracle, _, reason = line[1:].partition("] ")
                    wanted = any(pattern(each).match(name) for each in oracle.split())
                    continue
                call, separator, difference = line.partition(" | ")
                if not separator or not reason:
                    raise ValueError("%s:%d: want `call | difference` below `[oracle] reason`" % (path, index))
                if wanted:
                    self.rules.append([pattern(call.strip()), pattern(difference.strip()), 0, "%d: %s" % (index, line)])

    def explains(self, call, difference):
        for rule in self.rules:
            if rule[0].match(call) and rule[1].match(difference):
                rule[2] += 1
                return True
        return False

    def unused(self):
        return [rule[3] for rule in self.rules if not rule[2]]
