#!/usr/bin/env python3
"""Tests .ci/structure on small workspaces: python3 .ci/structure_test.py."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).with_name("structure")
ROOT = '[workspace]\nmembers = ["crates/*"]\n[package]\nname = "tickcast"\n'
MODEL = '[package]\nname = "tickcast-model"\n'
BASE = {"Cargo.toml": ROOT, "src/lib.rs": "//! A.\n", "crates/model/Cargo.toml": MODEL, "crates/model/src/lib.rs": "//! B.\n"}
PARAGRAPH = "    let a = 1;\n" * 14


def function(name, blank="\n"):
    """A documented function of 17 lines and, with its blank line, 18."""
    return f"/// Does.\npub fn {name}() {{\n{PARAGRAPH}{blank}    a\n}}\n"


def measure(files):
    """Exit code, figures, offenders and the printed text of a workspace of these files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in {**BASE, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        out = root / "figures.json"
        command = [sys.executable, SCRIPT, "--root", root, "--json", out]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        written = json.loads(out.read_text(encoding="utf-8"))
        again = subprocess.run([*command, "--compare", out], capture_output=True, text=True, check=False)
        assert "before" in again.stdout, again.stderr
        return done.returncode, written["figures"], written["offenders"], done.stdout


class Structure(unittest.TestCase):
    def test_a_clean_workspace_passes(self):
        code, figures, _, text = measure({"src/lib.rs": "//! A.\n" + function("a")})
        self.assertEqual((code, figures["files"], figures["functions"], figures["fn_p100"]), (0, 2, 1, 18), text)

    def test_a_circle_is_seen_through_reexports_and_names_its_ties(self):
        files = {
            "src/lib.rs": "//! A.\nmod room;\nmod far;\n",
            "src/room/mod.rs": "//! A.\nmod a;\nmod b;\npub use a::{self, Deep as Shown};\n",
            "src/room/a.rs": "//! A.\npub struct Deep;\nfn f() { super::b::go(); }\n",
            "src/room/b.rs": "//! A.\nuse crate::{far::Far, room::Shown};\npub fn go() {}\n",
            "src/far.rs": "//! A.\npub struct Far;\n",
        }
        code, figures, offenders, _ = measure(files)
        self.assertEqual((code, figures["circles"], figures["far_circles"], figures["circled"]), (1, 1, 1, 2))
        (circle,) = offenders["circles"]
        self.assertTrue(circle.startswith("src/room/a.rs:3 is in a circle of 2"), circle)
        self.assertIn("src/room/b.rs:2 -> src/room/a.rs: Shown", circle)
        self.assertNotIn("far.rs", circle)

    def test_a_module_that_uses_its_children_is_a_circle_of_its_own_kind(self):
        files = {
            "src/lib.rs": "//! A.\nmod a;\n",
            "src/a.rs": "//! A.\nmod child;\nuse self::child::*;\n/// A.\npub trait T {}\n",
            "src/a/child.rs": "//! A.\nuse super::T;\n",
        }
        _, figures, _, _ = measure(files)
        self.assertEqual((figures["circles"], figures["far_circles"]), (1, 0))

    def test_mod_lines_reexports_and_tests_are_no_imports(self):
        files = {
            "src/lib.rs": "//! A.\nmod a;\n#[cfg(test)]\nmod tests;\n",
            "src/a.rs": "//! A.\nmod b;\npub use b::B;\npub struct A;\n#[cfg(test)]\nmod tests {\n    use super::b::B;\n}\n",
            "src/a/b.rs": "//! A.\nuse super::A;\npub struct B;\n",
            "src/tests.rs": "fn f() { x.unwrap(); }\n",
        }
        _, figures, _, _ = measure(files)
        self.assertEqual((figures["circles"], figures["files"], figures["lines"], figures["unwraps"]), (0, 4, 10, 0))

    def test_a_reexport_where_there_are_no_children_is_an_import(self):
        files = {
            "src/lib.rs": "//! A.\nmod a;\nmod b;\n",
            "src/a.rs": "//! A.\npub use crate::b::B;\npub struct A(B);\n",
            "src/b.rs": "//! A.\nuse crate::a::A;\npub struct B;\n",
        }
        self.assertEqual(measure(files)[1]["circles"], 1)

    def test_floors_and_walls_are_kept(self):
        files = {
            "crates/model/Cargo.toml": MODEL + '[dependencies]\narrow = "1"\n[dev-dependencies]\ntokio = "1"\n',
            "crates/model/src/lib.rs": "//! B.\nuse tickcast_sql::Plan;\nfn f() { arrow_schema::f(); std::process::exit(1) }\n",
            "src/lib.rs": "//! A.\nuse tickcast_model::Plan;\nuse arrow::Array;\nmod serve;\n",
            "src/serve.rs": "//! A.\nuse tokio::net;\nuse ::{datafusion, rdkafka as k};\n",
        }
        code, _, offenders, _ = measure(files)
        self.assertEqual(code, 1)
        self.assertEqual(offenders["upward"], ["crates/model/src/lib.rs:2 tickcast_sql"])
        self.assertEqual(offenders["arrow"], ["crates/model/Cargo.toml:4", "crates/model/src/lib.rs:3"])
        self.assertEqual(offenders["process::exit"], ["crates/model/src/lib.rs:3"])
        self.assertEqual(offenders["tokio"], [])
        self.assertEqual(offenders["datafusion"] + offenders["rdkafka"], ["src/serve.rs:3", "src/serve.rs:3"])

    def test_text_that_looks_like_code_is_none(self):
        tricks = [
            "fn f<'a>(x: &'a str) -> char {",
            '    let raw = r#"fn g() { "}" "#;',
            "    let (a, b, c) = ('{', '\\'', b'\"');",
            '    let text = "\\"{ unsafe',
            '\n}";',
            "    /* fn h() { /* } */ unsafe { */",
            "    '\\u{7b}' // } unsafe",
            "}",
            "fn last() {}",
        ]
        _, figures, _, _ = measure({"src/lib.rs": "//! A.\n" + "\n".join(tricks) + "\n"})
        self.assertEqual((figures["functions"], figures["fn_p100"], figures["unsafe"]), (2, 9, 0))

    def test_blank_lines_are_shared_out(self):
        _, figures, offenders, _ = measure({"src/lib.rs": "//! A.\n" + function("a") + function("b", PARAGRAPH)})
        self.assertAlmostEqual(figures["blank"], 100 / (18 + 31))
        self.assertEqual(offenders["solid"], ["src/lib.rs:22 b has 31 lines"])

    def test_long_functions_and_files_are_named(self):
        code, figures, offenders, text = measure({"src/lib.rs": "//! A.\n\n" + function("a", PARAGRAPH * 30)})
        self.assertEqual((code, figures["fn_p100"], figures["long_files"]), (1, 437, 1))
        self.assertIn("  src/lib.rs:4 a has 437 lines", text)
        self.assertEqual(offenders["long_files"], ["src/lib.rs:401 of 440"])

    def test_public_items_want_docs(self):
        items = [
            "/// A.\n#[derive(Debug)]\npub struct A {\n    pub bare: u8,\n    /// B.\n    pub told: M<u8, u8>,\n    own: u8,\n}",
            "pub(crate) struct Own { pub x: u8 }",
            "/// E.\npub enum E {\n    /// A.\n    A(u8),\n    #[x]\n    Bare { x: u8 },\n}",
            "/// T.\npub trait T {\n    const fn bare(&self);\n    /// D.\n    fn told(&self) { let x = 1; }\n}",
            "impl A {\n    pub async fn bare() {}\n    fn own() {}\n}",
            "pub use x::y;\npub mod z;\npub const BARE: u8 = 1;",
        ]
        _, figures, offenders, _ = measure({"src/lib.rs": "//! A.\n" + "\n".join(items) + "\n", "src/z.rs": "//! Z.\n"})
        bare = [text.split(" ", 1)[1] for text in offenders["pub_docs"]]
        self.assertEqual(bare, ["pub bare :", "Bare { x", "fn bare (", "pub async fn", "pub const BARE"])
        self.assertEqual((figures["public items"], len(offenders["item_docs"])), (11, 3))

    def test_few_words_tell(self):
        lines = [
            "fn f() { a.unwrap(); a.expect(1); a.unwrap_or(1); matches!(x, (Source::Kafka(_), 1)) }",
            "#[allow(dead_code)]",
            "fn g() { matches!(x, File(_)) } // TODO: h",
            "// " + "many words " * 10,
            "// " + "https://one.word/" * 10,
            "/// A.\npub type A = u8;",
        ]
        files = {"src/lib.rs": "//! A.\n" + "\n".join(lines) + "\n", "crates/model/src/lib.rs": "//! B.\n/// A.\npub enum A {}\n"}
        _, figures, offenders, _ = measure(files)
        self.assertEqual(offenders["unwraps"], ["src/lib.rs:2"] * 2)
        self.assertEqual((offenders["kafka_matches"], figures["lints allowed"], figures["TODO"]), (["src/lib.rs:2"], 1, 1))
        self.assertEqual(offenders["wide"], ["src/lib.rs:5 has 113 columns"])
        self.assertEqual(offenders["twins"], ["crates/model/src/lib.rs:3 A, also src/lib.rs:8"])


if __name__ == "__main__":
    unittest.main()
