"""Holds the tree to the rules of style that a program can check: layers, sizes, names, headers, the mirror of tests.

    python3 tests/tidy/check_style.py [ROOT]

Prints one line per finding, PATH:LINE: [rule] message, and exits 1 when there is any. Standard library only; reads, never writes.
The rules and their limits are the constants and the functions below; check_style_test.py shows a bad snippet for each.
"""

import pathlib
import re
import sys

import layers
from cpp_text import functions, strip_opaque

ROOTS = ('.ci', 'client', 'cmake', 'deploy', 'kernels', 'proto', 'server', 'tests', 'transport')
CPP = {'.h', '.cc', '.cu', '.cuh'}
CODE = CPP | {'.py', '.sh', '.proto', '.cmake'}
HEADERS = {'.h', '.cuh'}

FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
CODE_COLUMNS_MAX = 100
COMMENT_COLUMNS_MAX = 150

VAGUE_WORDS = {'manager', 'helper', 'helpers', 'util', 'utils', 'common', 'data', 'info'}
# These folders' sources have a test each, at the same path under tests/unit.
MIRRORED = ('kernels/', 'proto/contract/', 'server/memory/', 'server/policy/', 'server/store/', 'server/tier/', 'transport/')
MIRROR_EXCEPTIONS = 'tests/tidy/mirror_exceptions.txt'
# The rules name what they forbid, and the self-test shows it.
SHOWS_BAD_TEXT = ('tests/tidy/',)

UNFINISHED = re.compile(r'\b(?:TODO|FIXME|XXX)\b')
MACHINE_PATH = re.compile(r'(?:^|[\s"\'=(])/(?:work|root|home)/')
GETENV = re.compile(r'\b(?:secure_)?getenv\s*\(')


def check_sizes(path, text):
    limit = TEST_FILE_LINES_MAX if path.startswith('tests/') else FILE_LINES_MAX
    lines = text.count('\n')
    if lines > limit:
        yield limit + 1, 'file-length', f'{lines} lines, at most {limit}: split by verb'
    if pathlib.PurePath(path).suffix in CPP:
        for first, last, heading in functions(text):
            if last - first + 1 > FUNCTION_LINES_MAX:
                yield first, 'function-length', f'{last - first + 1} lines, at most {FUNCTION_LINES_MAX}: {heading[:60]}'


def check_columns(path, text):
    """Code up to CODE_COLUMNS_MAX; a comment may run to COMMENT_COLUMNS_MAX. Includes can not be broken."""
    if pathlib.PurePath(path).suffix not in CPP:
        return
    code_lines = re.sub(r'//[^\n]*', '', text).split('\n')
    for number, (line, code) in enumerate(zip(text.split('\n'), code_lines), 1):
        if line.lstrip().startswith('#include'):
            continue
        if 'http' not in line and len(line) > COMMENT_COLUMNS_MAX:
            yield number, 'columns', f'{len(line)} columns, at most {COMMENT_COLUMNS_MAX} with a comment'
        elif 'http' not in line and len(code.rstrip()) > CODE_COLUMNS_MAX:
            yield number, 'columns', f'{len(code.rstrip())} columns of code, at most {CODE_COLUMNS_MAX}'


def check_headers(path, text):
    if pathlib.PurePath(path).suffix not in HEADERS:
        return
    if not text.startswith('//'):
        yield 1, 'header-comment', 'a header begins with a comment that says what it is'
    if not re.search(r'^#pragma once$', text, re.MULTILINE):
        yield 1, 'header-guard', 'no #pragma once'
    guard = re.search(r'^#ifndef \w+_(?:H|H_|CUH|CUH_)$', text, re.MULTILINE)
    if guard:
        yield text.count('\n', 0, guard.start()) + 1, 'header-guard', '#pragma once, not a macro'


def check_names(path, _text):
    for part in pathlib.PurePath(path).parts:
        for word in re.split(r'[._-]', part.lower()):
            if word in VAGUE_WORDS:
                yield 1, 'vague-name', f"'{word}' in a file or folder name: find the noun"


def check_words(path, text):
    if path.startswith(SHOWS_BAD_TEXT):
        return
    code = strip_opaque(text) if pathlib.PurePath(path).suffix in CPP else ''
    for rule, pattern, searched, message in (
            ('unfinished', UNFINISHED, text, 'finish it or open an issue'),
            ('machine-path', MACHINE_PATH, text, 'a path of one machine'),
            ('getenv', GETENV, code, 'configuration comes from Config, not from the environment')):
        for match in pattern.finditer(searched):
            yield searched.count('\n', 0, match.start()) + 1, rule, f'{match.group().strip()}: {message}'


def check_layers(path, text):
    if pathlib.PurePath(path).suffix in CPP:
        for line, message in layers.findings(path, text):
            yield line, 'layers', message


CHECKS = (check_sizes, check_columns, check_headers, check_names, check_words, check_layers)


def read_mirror_exceptions(files):
    """{source: line} of the allow-list, and the findings about the list itself."""
    exceptions, findings = {}, []
    for number, line in enumerate(files.get(MIRROR_EXCEPTIONS, '').splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        source, _, reason = line.partition(' ')
        exceptions[source] = number
        if not reason.strip():
            findings.append((MIRROR_EXCEPTIONS, number, 'mirror', f'{source}: an exception needs a reason'))
        if source not in files:
            findings.append((MIRROR_EXCEPTIONS, number, 'mirror', f'{source} does not exist: drop the line'))
    return exceptions, findings


def has_test(source, files):
    """X_test.cc at the mirrored path, for X the source's stem or its first words: frame_test.cc covers frame_build.cc."""
    path = pathlib.PurePosixPath(source)
    words = path.stem.split('_')
    return any(str('tests/unit' / path.parent / ('_'.join(words[:n]) + '_test.cc')) in files
               for n in range(len(words), 0, -1))


def check_mirror(files):
    exceptions, findings = read_mirror_exceptions(files)
    for path in files:
        if not path.startswith(MIRRORED) or not path.endswith('.cc'):
            continue
        if has_test(path, files):
            if path in exceptions:
                findings.append((MIRROR_EXCEPTIONS, exceptions[path], 'mirror', f'{path} has a test: drop the line'))
        elif path not in exceptions:
            findings.append((path, 1, 'mirror', 'no test in the mirrored folder of tests/unit, and no exception with a reason'))
    return findings


def read_files(root):
    """{path relative to the root: text} of every file that the rules are about."""
    files = {}
    for top in ROOTS:
        for path in sorted((root / top).rglob('*')):
            relative = path.relative_to(root).as_posix()
            if path.is_file() and (path.suffix in CODE or path.name in ('CMakeLists.txt', 'run')
                                   or relative == MIRROR_EXCEPTIONS):
                files[relative] = path.read_text(encoding='utf-8')
    return files


def check_tree(root):
    """(path, line, rule, message) of every finding under the root, in order of path and line."""
    files = read_files(root)
    findings = check_mirror(files)
    if not any(pathlib.PurePath(path).suffix in CPP for path in files):
        findings.append(('.', 1, 'empty', f'no C++ source under {root}: nothing was checked'))
    for path, text in files.items():
        for check in CHECKS:
            findings += [(path, line, rule, message) for line, rule, message in check(path, text)]
    return sorted(findings)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
    findings = check_tree(root)
    for path, line, rule, message in findings:
        print(f'{path}:{line}: [{rule}] {message}')
    print(f'{len(findings)} findings')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
