#!/usr/bin/env python3
"""Checks that comments and Markdown are at most 100 columns wide. With `--wrap`, wraps the paragraphs that are wider.

Not checked are code blocks, tables, lines with a URL, and what programs wrote: `.stderr` and lock files, and the part of a
page below `<!-- Written by`.
"""

import pathlib
import re
import subprocess
import sys
import textwrap
import unicodedata

WIDTH = 100
# What begins a comment, by the ending of the file's name.
COMMENTS = {
    ".c": r"//|\*|/\*",
    ".go": r"//",
    ".mjs": r"//",
    ".py": r"#",
    ".rs": r"//[/!]?",
    ".sh": r"#",
    ".toml": r"#",
}


def columns(line):
    """How wide a line is on a screen: Chinese characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def split(path, line):
    """The indentation and mark of a comment, and its words; nothing for a line of code."""
    if path.suffix == ".md":
        return "", line
    match = re.match(rf"(\s*(?:{COMMENTS[path.suffix]})(?!\!) ?)(.*)", line)
    return match and match.groups()


def lines(path, text):
    """Every line with its mark and words, and whether it is to be checked."""
    in_code = generated = False
    for line in text.splitlines():
        if line.startswith("<!--"):
            generated = "Written by" in line
        mark, words = split(path, line) or (None, "")
        fence = words.strip().startswith(("```", "~~~"))
        in_code = mark is not None and in_code != fence
        prose = mark is not None and not (in_code or fence or generated) and words.strip() != ""
        yield line, mark, words, prose and "://" not in words and not words.strip().startswith(("|", "---", "shellcheck "))


def too_wide(path, text):
    """The numbers of the lines that are too wide."""
    return [n for n, (line, _, _, checked) in enumerate(lines(path, text), 1) if checked and columns(line) > WIDTH]


def wrapped(path, text):
    """The text with its wide paragraphs wrapped anew."""
    written, paragraph = [], []

    def end():
        if any(columns(line) > WIDTH for line, _, _ in paragraph):
            mark, first = paragraph[0][1], paragraph[0][2]
            item = re.match(r"\s*(?:(?:[-*]|\d+\.) +)?", first)[0]
            prose = " ".join(words.strip() for _, _, words in paragraph)[len(item.strip()) :].strip()
            fill = {"width": WIDTH, "break_long_words": False, "break_on_hyphens": False}
            rest = mark + " " * len(item)
            written.extend(textwrap.wrap(prose, initial_indent=mark + item, subsequent_indent=rest, **fill))
        else:
            written.extend(line for line, _, _ in paragraph)
        paragraph.clear()

    for line, mark, words, checked in lines(path, text):
        begins = re.match(r"\s*(?:[-*] |\d+\. |#|>)", words)
        if not checked or begins or (paragraph and paragraph[-1][1] != mark):
            end()
        if checked and not words.strip().startswith(("#", ">")):
            paragraph.append((line, mark, words))
        else:
            written.append(line)
    end()
    return "\n".join(written) + "\n"


def main():
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, text=True).stdout
    paths = [pathlib.Path(name) for name in listed.split("\0") if name]
    paths = [path for path in paths if (path.suffix == ".md" or path.suffix in COMMENTS) and path.is_file()]
    wrong = 0
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if sys.argv[1:] == ["--wrap"] and too_wide(path, text):
            path.write_text(text := wrapped(path, text), encoding="utf-8")
        for number in too_wide(path, text):
            print(f"{path}:{number}: wider than {WIDTH} columns")
            wrong += 1
    if not paths or wrong:
        sys.exit(f"{wrong} lines of {len(paths)} files are wider than {WIDTH} columns: wrap them")
    print(f"comments and Markdown of {len(paths)} files: at most {WIDTH} columns wide")


if __name__ == "__main__":
    main()
