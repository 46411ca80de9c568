//! The YAML file as a tree whose every node knows its path and its place, in the order of the file.
//! It must not know which keys are valid, nor what scalars mean.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::fault::{Fault, Places};

/// Far deeper and larger than any pipeline file; a bound for recursion and for aliases of aliases.
const DEPTH_MAX: usize = 32;
const NODES_MAX: usize = 20_000;

/// No `Debug`: scalars may be secrets.
#[derive(Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    /// `plain` (unquoted) text may also be a number, a bool or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A node stands where its key stands; an element of a list where it begins.
#[derive(Clone)]
pub(super) struct Place {
    pub path: String,
    pub line: usize,
    pub column: usize,
}

impl Place {
    fn new(path: String, mark: Marker) -> Self {
        Place { path, line: mark.line(), column: mark.col() + 1 }
    }

    /// A fault here; the reader of the whole file adds the file's name.
    pub fn fault(&self, message: impl Into<String>, help: Option<String>) -> Fault {
        let Place { path, line, column } = self.clone();
        let file = if line == 0 { "--set".to_string() } else { String::new() };
        Fault { line, column, path, message: message.into(), help, file }
    }
}

impl Node {
    /// Librdkafka properties hold passwords and keys: no fault may show what stands below them.
    pub fn is_secret(&self) -> bool {
        self.place.path.split('.').any(|key| key.starts_with("properties"))
    }

    /// Where every key below stands in this file.
    pub fn places(&self, file: &str) -> Places {
        let mut places = Places { file: file.to_string(), ..Places::default() };
        self.visit(&mut |node| {
            places.positions.insert(node.place.path.clone(), (node.place.line, node.place.column));
        });
        places
    }

    fn visit(&self, see: &mut impl FnMut(&Node)) {
        see(self);
        match &self.value {
            Value::Scalar { .. } => {}
            Value::List(items) => items.iter().for_each(|item| item.visit(see)),
            Value::Map(entries) => entries.iter().for_each(|(_, value)| value.visit(see)),
        }
    }

    /// The copy of an anchor stands at its alias, and so do the faults in it.
    pub fn move_to(&mut self, place: Place) {
        match &mut self.value {
            Value::Scalar { .. } => {}
            Value::List(items) => {
                for (nth, item) in items.iter_mut().enumerate() {
                    item.move_to(Place { path: element_path(&place.path, nth), ..place.clone() });
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    value.move_to(Place { path: key_path(&place.path, key), ..place.clone() });
                }
            }
        }
        self.place = place;
    }
}

pub(super) fn key_path(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_string() } else { format!("{parent}.{key}") }
}

pub(super) fn element_path(parent: &str, nth: usize) -> String {
    format!("{parent}[{nth}]")
}

/// Reads one YAML document. `Err` if it is no YAML; what can be read past is added to `faults`.
pub(super) fn read(text: &str, faults: &mut Vec<Fault>) -> Result<Node, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parser = Parser::new_from_str(text);
    let mut reader = Reader { text, parser, anchors: BTreeMap::new(), nodes: 0, faults };
    reader.document()
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Fault> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    return Err(Place::new(String::new(), span.start).fault("a second YAML document", None));
                }
                event => {
                    // Keys missing at the top are missed at the very beginning, not after the
                    // comments.
                    let place = Place { path: String::new(), line: 1, column: 1 };
                    root = Some(self.node(event, place, 0)?);
                }
            }
        }

        let nothing = Value::Scalar { text: String::new(), plain: true };
        let top = Place { path: String::new(), line: 1, column: 1 };
        Ok(root.unwrap_or(Node { place: top, value: nothing }))
    }

    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, Fault> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(place.fault("too deep or too large for a pipeline file", None));
        }

        let (value, anchor) = match event {
            Event::Alias(id) => return self.alias(id, place),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text =
                    tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                self.refuse_tag(tag.as_deref().filter(|_| !is_text), &place);
                let plain = style == ScalarStyle::Plain && !is_text;
                (Value::Scalar { text: text.into_owned(), plain }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &place);
                (Value::List(self.list(&place.path, depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &place);
                (Value::Map(self.map(&place.path, depth)?), anchor)
            }
            _ => return Err(place.fault("not YAML", None)),
        };

        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(items);
            }
            let place = Place::new(element_path(path, items.len()), span.start);
            items.push(self.node(event, place, depth + 1)?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result<Vec<(String, Node)>, Fault> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }

            let Event::Scalar(key, ..) = event else {
                return Err(Place::new(path.to_string(), span.start).fault("a key must be one word", None));
            };
            let place = Place::new(key_path(path, &key), span.start);
            let (event, _) = self.next()?;
            let value = self.node(event, place, depth + 1)?;

            match entries.iter().find(|(earlier, _)| *earlier == key) {
                Some((_, earlier)) => {
                    let message = format!("written twice, first in line {}", earlier.place.line);
                    self.faults.push(value.place.fault(message, None));
                }
                None => entries.push((key.into_owned(), value)),
            }
        }
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<Node, Fault> {
        let Some(mut node) = self.anchors.get(&id).cloned() else {
            return Err(place.fault("an alias of itself", None));
        };
        // Counted before it can be copied again: aliases of aliases grow as powers.
        node.visit(&mut |_| self.nodes += 1);
        node.move_to(place);
        Ok(node)
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: &Place) {
        if tag.is_some() {
            self.faults.push(place.fault("YAML tags have no meaning here", None));
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax_fault(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn syntax_fault(&self, error: &ScanError) -> Fault {
        let line = self.text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
        let help = line.contains("${").then(|| "inside { } and [ ] put \"${VAR}\" in quotes".to_string());
        Place::new(String::new(), *error.marker()).fault(format!("not YAML: {}", error.info()), help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(String, usize, usize)> {
        let mut seen = Vec::new();
        let root = read(text, &mut Vec::new()).map_err(|fault| fault.message).unwrap();
        root.visit(&mut |node| seen.push((node.place.path.clone(), node.place.line, node.place.column)));
        seen
    }

    #[test]
    fn a_node_stands_at_its_key_counted_in_characters() {
        let text = "é: {ü: 1, b: [x, y]}\nc:\n  d: *a\n".replace("*a", "2");
        let expected = [("", 1, 1), ("é", 1, 1), ("é.ü", 1, 5), ("é.b", 1, 11), ("é.b[0]", 1, 15)];
        for (seen, expected) in places(&text).iter().zip(expected) {
            assert_eq!((seen.0.as_str(), seen.1, seen.2), expected);
        }
        assert_eq!(places(&text).last().unwrap(), &("c.d".to_string(), 3, 3));
    }

    #[test]
    fn an_alias_is_a_copy_that_stands_at_the_alias() {
        assert_eq!(places("a: &x {k: 1}\nb: *x\n").last().unwrap(), &("b.k".to_string(), 2, 1));
    }

    #[test]
    fn every_duplicate_key_is_a_fault() {
        let mut faults = Vec::new();
        let _ = read("a: 1\nb: {c: 1, c: 2}\na: 3\n", &mut faults);
        let seen: Vec<_> =
            faults.iter().map(|fault| (fault.path.as_str(), fault.line, fault.column)).collect();
        assert_eq!(seen, [("b.c", 2, 11), ("a", 3, 1)]);
        assert_eq!(faults[1].message, "written twice, first in line 1");
    }

    #[test]
    fn neither_deep_nor_multiplied_yaml_can_exhaust_us() {
        let deep = "- ".repeat(50_000);
        assert!(read(&deep, &mut Vec::new()).is_err());
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
        for nth in 1..10 {
            let aliases = vec![format!("*a{}", nth - 1); 10].join(", ");
            laughs += &format!("a{nth}: &a{nth} [{aliases}]\n");
        }
        assert!(read(&laughs, &mut Vec::new()).is_err());
    }
}
