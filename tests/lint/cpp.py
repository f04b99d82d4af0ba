"""What the lint scripts share: the project's C++ files, and C++ text without comments and strings."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = re.compile(
    r'//[^\n]*'                          # line comment
    r'|/\*.*?\*/'                        # block comment
    r'|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"'  # raw string
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+'", re.S)


def files(*folders, suffixes=(".cpp", ".hpp", ".h", ".c")):
    """The files below the folders of the project, sorted."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def name(path):
    return str(path.relative_to(ROOT))


def blank(text, keep_doc=False):
    """The text with comments, string and character contents made spaces; line numbers stay.

    Preprocessor lines go too. With keep_doc, `///` comments become the line `///`.
    """
    def space(match):
        piece = match.group(0)
        if keep_doc and piece.startswith("///"):
            return "///"
        return re.sub(r"[^\n]", " ", piece)

    text = TOKEN.sub(space, text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.M)


class Report:
    """Collects findings and ends the script with its result."""

    def __init__(self):
        self.findings = []

    def add(self, path, line, text):
        self.findings.append(f"{name(path)}:{line}: {text}")

    def finish(self):
        for finding in self.findings:
            print(finding)
        print(f"{len(self.findings)} findings" if self.findings else "clean")
        sys.exit(1 if self.findings else 0)
