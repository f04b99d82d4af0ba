"""Makes the answers of two daemons comparable, and compares them."""
import base64
import re

ZERO_TIME = "0001-01-01T00:00:00Z"
PATTERNS = [
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"(?<![0-9a-zA-Z-])[0-9a-f]{12}\b"), "<short>"),
    (re.compile(r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<mac>"),
    (re.compile(r"\b172\.(1[6-9]|2\d|3[01])\.\d+\.\d+"), "<ip>"),
    (re.compile(r"overlay2/[a-z0-9]{25}\b"), "overlay2/<id>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b[A-Z2-7]{4}(:[A-Z2-7]{4}){11}\b"), "<uuid>"),
    (re.compile(r"\b(Up|Exited \(\d+\)) (Less than a second|About a minute|\d+ (seconds?|minutes?))"), r"\1 <while>"),
    (re.compile(r"<\w+ short> is using"), "<short> is using"),
    (re.compile(r"\bpid \d+"), "pid <pid>"),
    (re.compile(r"\b[a-z]{3,}_[a-z]{2,}\d?\b(?=$|[\s\"'])"), "<name>"),
]
# Lists without an order of their own.
SORTED = {"VolumesDeleted", "ContainersDeleted", "NetworksDeleted", "ImagesDeleted", "RepoTags", "Links", "Ports", "Images"}
# Keys whose numbers and texts are of the moment: only kind and presence are compared.
MOMENT = {"Created", "time", "timeNano", "Pid", "NFd", "NGoroutines", "SystemTime", "MemAvailable", "execDuration",
          "NEventsListener", "SizeRootFs"}


class Normaliser:
    """Replaces what must differ: ids known by name, other ids, times, addresses, the roots' paths."""

    def __init__(self, root, variables):
        self.root, self.base, self.variables = root, root.rsplit("/", 1)[0], variables

    def text(self, text):
        for name, value in self.variables.items():
            if len(value) >= 12 and name != "now":
                text = text.replace(value, "<%s>" % name)
                text = re.sub(r"\b%s\b" % re.escape(value.split(":")[-1][:12]), "<%s short>" % name, text)
        text = text.replace(self.root, "<root>").replace(self.base, "<base>")
        for pattern, replacement in PATTERNS:
            text = pattern.sub(lambda m, r=replacement: m.group(0) if m.group(0) == ZERO_TIME else m.expand(r), text)
        return text

    def value(self, value, key=""):
        if isinstance(value, dict):
            return {self.text(name): self.value(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            items = [self.value(item, key) for item in value]
            by = "Destination" if key == "Mounts" else "Name"
            if items and all(isinstance(item, dict) and isinstance(item.get(by), str) for item in items):
                items.sort(key=lambda item: item[by])
            elif key in SORTED:
                items.sort(key=str)
            return items
        if isinstance(value, str):
            if key in ("Processes", "execDuration") and value.isdigit():
                return "<number>"
            if key == "X-Docker-Container-Path-Stat":
                return self.text(base64.b64decode(value).decode())
            if key == "HostPort" and value.isdigit() and int(value) >= 32768:
                return "<port>"
            return self.text(value)
        if key == "PublicPort" and isinstance(value, int) and value >= 32768:
            return "<port>"
        if key in MOMENT and isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            return "<number>"
        return value


def shown(value):
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def compare_values(one, other, path=""):
    """Differences as `path: a | b`, in the order of the first."""
    if type(one) is not type(other):
        yield "%s: %s | %s" % (path, shown(one), shown(other))
    elif isinstance(one, dict):
        yield from compare_objects(one, other, path)
    elif isinstance(one, list):
        if len(one) != len(other):
            yield "%s: %d entries %s | %d entries %s" % (path, len(one), shown(one), len(other), shown(other))
            return
        for index, (first, second) in enumerate(zip(one, other)):
            yield from compare_values(first, second, "%s[%d]" % (path, index))
    elif one != other:
        yield "%s: %s | %s" % (path, shown(one), shown(other))


def compare_objects(one, other, path):
    def inner(key):
        return "%s.%s" % (path, key) if path else key

    for key in one:
        if key not in other:
            yield "%s: %s | missing" % (inner(key), shown(one[key]))
        else:
            yield from compare_values(one[key], other[key], inner(key))
    for key in other:
        if key not in one:
            yield "%s: missing | %s" % (inner(key), shown(other[key]))
    common = [key for key in one if key in other]
    others = [key for key in other if key in one]
    if common != others and not path.startswith("header"):
        first = next(index for index, key in enumerate(common) if key != others[index])
        yield "%s: order of keys: %s | %s" % (path, common[first], others[first])
