"""What the checks need to know about C++ text: code without comments and strings, includes, and where functions begin and end.

A reading of clang-formatted code, not a parser: a body's brace follows a space, a braced initializer's does not.
"""

import re

# Comments, string and character literals; a quote between digits is a separator, not a literal.
_OPAQUE = re.compile(
    r'R"([^()\s\\]{0,16})\(.*?\)\1"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'"
    r'|//[^\n]*'
    r'|/\*.*?\*/', re.DOTALL)
_DIRECTIVE = re.compile(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.MULTILINE)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
_SCOPE = re.compile(r'(?:export\s+)?(?:inline\s+)?(?:namespace|class|struct|enum|union|extern)\b')
_ACCESS = re.compile(r'^(?:(?:public|private|protected)\s*:\s*)+')
_TEMPLATE = re.compile(r'^template\s*<[^{};]*>\s*(?:requires\b[^{};]*?\s)?(?=class|struct|union)')


def _blank(match):
    return re.sub(r'[^\n]', ' ', match.group())


def strip_opaque(text):
    """The text with comments and literals blanked; every line and column stays where it was."""
    return _OPAQUE.sub(_blank, text)


def includes(text):
    """(line number, quoted with "" rather than <>, path) of every #include outside comments."""
    without_comments = re.sub(r'//[^\n]*|/\*.*?\*/', _blank, text, flags=re.DOTALL)
    for match in _INCLUDE.finditer(without_comments):
        yield without_comments.count('\n', 0, match.start()) + 1, match.group(1) == '"', match.group(2)


def _brace_kind(code, at, heading, nested):
    """What the brace at `at` opens, given the text since the last statement: a scope, a function's body, or an expression."""
    if nested or not code[at - 1].isspace() or heading.endswith('='):
        return 'expression'
    if _SCOPE.match(_TEMPLATE.sub('', _ACCESS.sub('', heading))):
        return 'scope'
    return 'function' if '(' in heading else 'expression'


def functions(text):
    """(first line, last line, heading) of every function; lambdas and local classes count as part of their function."""
    code = _DIRECTIVE.sub(_blank, strip_opaque(text))
    open_braces = []  # (kind, offset where the heading begins, heading)
    heading_begin = 0
    parentheses = 0
    in_function = False
    for match in re.finditer(r'[(){};]', code):
        at, char = match.start(), match.group()
        if char in '()':
            parentheses += 1 if char == '(' else -1
        elif char == '{':
            heading = code[heading_begin:at].strip()
            kind = _brace_kind(code, at, heading, in_function or parentheses > 0)
            open_braces.append((kind, heading_begin, heading))
            if kind == 'function':
                in_function = True
            elif kind == 'scope':
                heading_begin = at + 1
        elif char == '}' and open_braces:
            kind, begin, heading = open_braces.pop()
            if kind == 'function':
                in_function = False
                begin += len(code[begin:]) - len(code[begin:].lstrip())
                yield code.count('\n', 0, begin) + 1, code.count('\n', 0, at) + 1, ' '.join(heading.split())
            if kind != 'expression':
                heading_begin = at + 1
        elif char == ';' and not in_function and parentheses == 0:
            heading_begin = at + 1
