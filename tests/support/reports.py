"""What the sanitizers of a daemon found, and how much longer such a daemon may take.

A sanitized daemon writes its reports to files beside its log, also when it is killed afterwards; whoever ends the daemon
asks for them. The settings themselves are in sanitizers/options.cpp.
"""
import glob
import os

# By how much longer than usual tests wait; the sanitized builds set it.
PATIENCE = float(os.environ.get("DOCKERD_TEST_PATIENCE", "1"))
RUNTIMES = ("ASAN", "UBSAN", "LSAN", "TSAN")


def environment(prefix):
    """The environment of a daemon whose reports go to files that begin with prefix; without meaning to other daemons."""
    out = dict(os.environ)
    for runtime in RUNTIMES:
        name = runtime + "_OPTIONS"
        out[name] = ":".join(part for part in (out.get(name), "log_path=" + prefix) if part)
    return out


def take(prefix):
    """The reports written so far, as one text; they are not told a second time."""
    texts = []
    for path in sorted(glob.glob(glob.escape(prefix) + ".*")):
        with open(path, errors="replace") as file:
            texts.append(file.read())
        os.rename(path, path.replace(prefix, prefix + "-told", 1))
    return "\n".join(texts)
