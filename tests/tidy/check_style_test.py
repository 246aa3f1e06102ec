"""Proof that each rule of check_style.py can fail: a small good tree has no findings, and each bad snippet in it has exactly the expected one."""

import pathlib
import tempfile
import unittest

import check_style
from cpp_text import functions

GOOD = {
    'kernels/format/shape.h': '// Shapes.\n#pragma once\n\n#include <cstdint>\n',
    'kernels/format/shape.cc': '#include "kernels/format/shape.h"\n\n#include <xxhash.h>\n',
    'proto/contract/key.h': '// Keys.\n#pragma once\n\n#include "kernels/format/shape.h"\n',
    'server/store/ingest.h': '// Ingest.\n#pragma once\n\n#include "proto/contract/key.h"\n',
    'server/store/ingest.cc': '#include "server/store/ingest.h"\n',
    'server/rpc/service.h': '// Service.\n#pragma once\n\n#include <grpcpp/grpcpp.h>\n\n#include "larder/v1/cache.grpc.pb.h"\n',
    'client/client.h': '// Client.\n#pragma once\n\n#include "proto/contract/key.h"\n',
    'tests/unit/kernels/format/shape_test.cc': '#include "kernels/format/shape.h"\n',
    'tests/unit/server/store/ingest_test.cc': '#include "server/store/ingest.h"\n',
}


def body(lines):
    return '\n'.join(['  Step();'] * lines)


class CheckStyleTest(unittest.TestCase):

    def findings_of(self, changes):
        """[(path, rule)] for the good tree with `changes` {path: text, or None to leave the file out}."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in {**GOOD, **changes}.items():
                if text is not None:
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    (root / path).write_text(text)
            return [(path, rule) for path, _line, rule, _message in check_style.check_tree(root)]

    def expect(self, path, rule, text):
        self.assertEqual(self.findings_of({path: text}), [(path, rule)])

    def test_good_tree_has_no_findings(self):
        self.assertEqual(self.findings_of({}), [])

    def test_reports_the_line(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'server' / 'x.h'
            path.parent.mkdir()
            path.write_text('// X.\n#pragma once\n\n#include "client/client.h"\n')
            self.assertEqual([finding[:3] for finding in check_style.check_tree(pathlib.Path(folder))],
                             [('server/x.h', 4, 'layers')])

    def test_finds_an_empty_tree(self):
        self.assertEqual(self.findings_of({path: None for path in GOOD}), [('.', 'empty')])

    def test_finds_includes_that_point_upwards(self):
        for path, included in (
                ('kernels/format/bad.h', 'proto/contract/key.h'),
                ('kernels/codec/bad.h', 'server/store/ingest.h'),
                ('kernels/codec/bad.h', 'proto/contract/key.h'),
                ('proto/contract/bad.h', 'server/base/clock.h'),
                ('server/bad.h', 'client/client.h'),
                ('server/bad.h', 'tests/fakes/fake_tier.h'),
                ('server/base/bad.h', 'server/store/ingest.h'),
                ('server/tier/bad.h', 'server/store/ingest.h'),
                ('server/tier/bad.h', 'server/ssd/segment.h'),
                ('server/policy/bad.h', 'server/tier/tier.h'),
                ('server/store/bad.h', 'server/rpc/service.h'),
                ('server/rpc/bad.h', 'server/policy/lru_order.h'),
                ('client/bad.h', 'server/store/ingest.h')):
            with self.subTest(path=path, included=included):
                self.expect(path, 'layers', f'// Bad.\n#pragma once\n\n#include "{included}"\n')

    def test_finds_dependencies_out_of_their_place(self):
        for path, included in (
                ('server/store/bad.h', 'grpcpp/grpcpp.h'),
                ('proto/contract/convert.h', 'grpcpp/grpcpp.h'),
                ('proto/contract/bad.h', 'google/protobuf/message.h'),
                ('proto/contract/bad.h', 'larder/v1/cache.pb.h'),
                ('server/base/bad.h', 'prometheus/registry.h'),
                ('server/transport/bad.h', 'ucp/api/ucp.h'),
                ('server/store/bad.h', 'rocksdb/db.h'),
                ('server/memory/bad.h', 'cuda_runtime.h'),
                ('kernels/codec/bad.cuh', 'absl/status/status.h')):
            with self.subTest(path=path, included=included):
                self.expect(path, 'layers', f'// Bad.\n#pragma once\n\n#include <{included}>\n')

    def test_format_headers_are_std_only(self):
        self.expect('kernels/format/bad.h', 'layers', '// Bad.\n#pragma once\n\n#include <xxhash.h>\n')
        self.expect('kernels/format/bad.h', 'layers', '// Bad.\n#pragma once\n\n#include "hwy/highway.h"\n')

    def test_reads_includes_but_not_comments(self):
        self.assertEqual(self.findings_of({'server/x.h': '// X.\n#pragma once\n// #include "client/client.h"\n'}), [])

    def test_finds_long_files(self):
        self.expect('server/long.cc', 'file-length', '\n' * 401)
        self.assertEqual(self.findings_of({'tests/unit/long.cc': '\n' * 401}), [])
        self.expect('tests/unit/long.cc', 'file-length', '\n' * 601)
        self.expect('deploy/long.sh', 'file-length', '\n' * 401)

    def test_finds_long_functions(self):
        for heading in ('void F() {', 'int A::F(int x) const {', 'A::A() : a_{1}, b_(2) {', 'TEST(A, B) {',
                        'class A {\n public:\n  void F() {', 'namespace a {\nnamespace {\ntemplate <typename T>\nT F(T x) {'):
            closing = '\n' + '}\n' * (heading.count(' {') + heading.count('\n{'))
            with self.subTest(heading=heading):
                self.expect('server/f.cc', 'function-length', heading + '\n' + body(70) + closing)
                self.assertEqual(self.findings_of({'server/f.cc': heading + '\n' + body(60) + closing}), [])

    def test_counts_a_lambda_with_its_function(self):
        text = 'void F() {\n  auto g = [] {\n' + body(40) + '\n  };\n' + body(40) + '\n}\n'
        self.expect('server/f.cc', 'function-length', text)

    def test_does_not_count_tables_and_classes_as_functions(self):
        self.assertEqual(self.findings_of({'server/f.cc': 'const Row kRows[] = {\n' + '    {1, F(2)},\n' * 90 + '};\n'}), [])
        self.assertEqual(self.findings_of({'server/f.cc': 'class A : public B<int> {\n' + '  int a(int b);\n' * 90 + '};\n'}), [])

    def test_braces_in_literals_do_not_confuse(self):
        text = 'void F() {\n  G("{", \'{\', R"x({)x", 1\'000);  // {\n}\n\nvoid H() {\n' + body(60) + '\n}\n'
        self.assertEqual([heading for _, _, heading in functions(text)], ['void F()', 'void H()'])

    def test_finds_wide_lines(self):
        self.expect('server/w.cc', 'columns', 'int ' + 'x' * 100 + ';\n')
        self.expect('server/w.cc', 'columns', '// ' + 'x' * 150 + '\n')
        self.assertEqual(self.findings_of({'server/w.cc': 'int x;  // ' + 'x' * 120 + '\n'}), [])

    def test_finds_headers_without_guard_or_comment(self):
        self.expect('server/h.h', 'header-guard', '// H.\nint x;\n')
        self.expect('server/h.h', 'header-comment', '#pragma once\n// H.\n')
        self.assertIn(('server/h.h', 'header-guard'),
                      self.findings_of({'server/h.h': '// H.\n#ifndef H_H_\n#define H_H_\n#endif\n'}))

    def test_finds_vague_names(self):
        self.expect('server/block_manager.cc', 'vague-name', '')
        self.expect('server/utils/x.cc', 'vague-name', '')
        self.assertEqual(self.findings_of({'server/database.cc': ''}), [])

    def test_finds_unfinished_work_getenv_and_machine_paths(self):
        self.expect('server/x.cc', 'unfinished', '// TODO: later\n')
        self.expect('deploy/x.sh', 'unfinished', '# FIXME\n')
        self.expect('server/x.cc', 'getenv', 'auto x = std::getenv("HOME");\n')
        self.assertEqual(self.findings_of({'server/x.cc': '// no getenv("X") here\n'}), [])
        self.expect('deploy/x.sh', 'machine-path', 'cd /work/larder\n')
        self.expect('tests/unit/x.cc', 'machine-path', 'Open("/root/trace");\n')

    def test_finds_sources_without_a_test(self):
        self.expect('server/store/fetch.cc', 'mirror', '')
        self.expect('kernels/codec/fp8.cc', 'mirror', '')
        self.assertEqual(self.findings_of({'server/store/ingest_order.cc': ''}), [])  # ingest_test.cc covers it

    def test_mirror_exceptions_need_a_reason_and_a_need(self):
        exceptions = check_style.MIRROR_EXCEPTIONS
        source = 'server/store/fetch.cc'
        self.assertEqual(self.findings_of({source: '', exceptions: f'{source} covered by the conformance suite\n'}), [])
        self.assertEqual(self.findings_of({source: '', exceptions: f'{source}\n'}), [(exceptions, 'mirror')])
        self.assertEqual(self.findings_of({exceptions: f'{source} gone\n'}), [(exceptions, 'mirror')])
        self.assertEqual(self.findings_of({exceptions: 'server/store/ingest.cc not needed\n'}), [(exceptions, 'mirror')])


if __name__ == '__main__':
    unittest.main()
