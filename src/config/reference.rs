//! The reference of the pipeline file: every key with its type, default and description, in
//! Markdown.
//! It must not know a key: all it says is in the JSON Schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Columns of a line of text.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Reference of the pipeline file

This page is made from the descriptions in `src/config/raw` by `tickcast schema --markdown`. Do not
edit it: `cargo run -- schema --markdown > docs/reference.md` renews it.

";

/// The page of a schema. Blocks are sections in the order of their keys: first what is required,
/// then the others. A block that stands in several places is described once.
pub fn page(schema: &Value) -> String {
    Page::of(schema).text
}

/// Path and default of every key that has one, as they stand in the page.
#[cfg(test)]
pub fn defaults(schema: &Value) -> Vec<(String, String)> {
    Page::of(schema).defaults
}

struct Page<'a> {
    schema: &'a Value,
    /// Name of a definition -> path of the block that describes it.
    described: BTreeMap<&'a str, String>,
    defaults: Vec<(String, String)>,
    text: String,
}

impl<'a> Page<'a> {
    fn of(schema: &'a Value) -> Self {
        let (described, defaults, text) = (BTreeMap::new(), Vec::new(), HEAD.to_owned());
        let mut page = Page { schema, described, defaults, text };
        page.paragraphs(schema);
        page.keys(schema, "");
        page
    }

    /// One key after the other, then the blocks among them as sections.
    fn keys(&mut self, block: &'a Value, path: &str) {
        let Some(properties) = block["properties"].as_object() else { return };
        let required: Vec<&str> = list(block, "required").iter().filter_map(Value::as_str).collect();
        let rank = |key: &str| required.iter().position(|name| *name == key).unwrap_or(required.len());
        let mut keys: Vec<(&String, &Value)> = properties.iter().collect();
        keys.sort_by_key(|(key, _)| rank(key));

        let mut sections = Vec::new();
        for (key, schema) in keys {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let is_required = required.contains(&key.as_str());
            let inner = self.block_of(schema);
            let known = inner.and_then(|(name, _)| self.described.get(name?).cloned());
            self.key(&path, schema, is_required, known.as_deref());

            if let (Some((name, inner)), None) = (inner, known) {
                self.described.extend(name.map(|name| (name, path.clone())));
                sections.push((path, inner));
            }
        }
        for (path, inner) in sections {
            self.text.push_str(&format!("\n## {path}\n\n"));
            self.paragraphs(inner);
            self.keys(inner, &path);
        }
    }

    /// A list item: the path, the type, the default, the description; words with descriptions
    /// below.
    fn key(&mut self, path: &str, schema: &'a Value, is_required: bool, known: Option<&str>) {
        let description = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        let (description, prose) = split_default(&description);
        let default = schema.get("default").map(Value::to_string).or(prose);
        self.defaults.extend(default.clone().map(|default| (path.to_owned(), default)));

        let mut traits = vec![self.type_of(schema)];
        if self.block_of(schema).is_some() {
            let name = known.map_or_else(|| "its keys".to_owned(), |block| format!("keys of {block}"));
            traits.push(format!("[{name}](#{})", anchor(known.unwrap_or(path))));
        }
        traits.extend(is_required.then(|| "required".to_owned()));
        traits.extend(default.map(|default| format!("default: {default}")));
        self.item("- ", &format!("**`{path}`** ({}). {description}", traits.join("; ")));

        for (word, meaning) in self.described_words(schema) {
            self.item("  - ", &format!("`{word}`: {meaning}"));
        }
    }

    /// The type in a few words.
    fn type_of(&self, schema: &'a Value) -> String {
        let schema = self.resolved(schema).1;
        let words = self.words(schema);
        let others: Vec<&Value> = variants(schema).filter(|variant| variant.get("const").is_none()).collect();
        if !words.is_empty() {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let block = if self.block_of(schema).is_some() { " or a block" } else { "" };
            let number = others.iter().find(|other| type_word(other) == "integer");
            let number = number.map_or_else(String::new, |number| format!(" or a {}", whole_number(number)));
            return format!("{}{number}{block}", words.join(", "));
        }
        if others.len() > 1 {
            let types: Vec<String> = others.iter().map(|other| self.type_of(other)).collect();
            return types.join(" or ");
        }

        match type_word(schema) {
            "integer" => whole_number(schema),
            "number" => "number".to_owned(),
            "boolean" => "true or false".to_owned(),
            "array" => format!("list of: {}", self.type_of(&schema["items"])),
            "object" if schema.get("properties").is_none() && schema["additionalProperties"].is_object() => {
                "map of names to values".to_owned()
            }
            "object" => "block".to_owned(),
            _ => match list(schema, "examples").first().and_then(Value::as_str) {
                Some(example) => format!("text like `{example}`"),
                None => "text".to_owned(),
            },
        }
    }

    /// The words that a value may be, each with what it means, where that is said of any of them.
    fn described_words(&self, schema: &'a Value) -> Vec<(&'a str, &'a str)> {
        let mut schema = self.resolved(schema).1;
        if let Some(items) = schema.get("items") {
            schema = self.resolved(items).1;
        }
        variants(schema)
            .filter_map(|variant| Some((variant["const"].as_str()?, variant["description"].as_str()?)))
            .collect()
    }

    fn words(&self, schema: &'a Value) -> Vec<&'a str> {
        let own = list(schema, "enum").iter().chain(schema.get("const"));
        let below = variants(schema).flat_map(|variant| self.words(variant));
        own.filter_map(Value::as_str).chain(below).collect()
    }

    /// The block with keys that a value is or may be, and the name of its definition.
    fn block_of(&self, schema: &'a Value) -> Option<(Option<&'a str>, &'a Value)> {
        let (name, schema) = self.resolved(schema);
        if schema["properties"].as_object().is_some_and(|keys: &Map<_, _>| !keys.is_empty()) {
            return Some((name, schema));
        }
        let (inner_name, block) = variants(schema).find_map(|variant| self.block_of(variant))?;
        Some((name.or(inner_name), block))
    }

    /// The schema behind references and `null` beside it, and the definition's name.
    fn resolved(&self, schema: &'a Value) -> (Option<&'a str>, &'a Value) {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            let (inner, schema) = self.resolved(&self.schema["$defs"][name]);
            return (inner.or(Some(name)), schema);
        }
        let mut values = variants(schema).filter(|variant| variant["type"] != "null");
        match (values.next(), values.next()) {
            (Some(only), None) => self.resolved(only),
            _ => (None, schema),
        }
    }

    fn paragraphs(&mut self, schema: &Value) {
        for paragraph in schema["description"].as_str().into_iter().flat_map(|text| text.split("\n\n")) {
            self.item("", paragraph);
            self.text.push('\n');
        }
    }

    /// Text in lines of at most [`WIDTH`] columns, the later ones indented as far as `mark` is
    /// long.
    fn item(&mut self, mark: &str, text: &str) {
        let indent = " ".repeat(mark.len());
        let mut line = mark.to_owned();
        for word in text.split_whitespace() {
            let is_begun = line.len() > mark.len();
            if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.text.push_str(&line);
                self.text.push('\n');
                line.clone_from(&indent);
                line.push_str(word);
                continue;
            }
            if is_begun {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }
}

/// What may stand in a value's place.
fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    list(schema, "anyOf").iter().chain(list(schema, "oneOf"))
}

fn list<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema[key].as_array().map_or(&[], Vec::as_slice)
}

/// The type that is not `null`.
fn type_word(schema: &Value) -> &str {
    let listed = list(schema, "type").iter().filter_map(Value::as_str).find(|word| *word != "null");
    schema["type"].as_str().or(listed).unwrap_or_default()
}

fn whole_number(schema: &Value) -> String {
    let bound = |key: &str| schema[key].as_i64().filter(|bound| *bound != i64::MAX);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!("whole number from {least} to {most}"),
        (Some(least), None) => format!("whole number, at least {least}"),
        _ => "whole number".to_owned(),
    }
}

/// A description without the `Default: X.` at its end, and X.
fn split_default(description: &str) -> (&str, Option<String>) {
    match description.rsplit_once("Default: ") {
        Some((before, default)) => (before.trim_end(), default.strip_suffix('.').map(str::to_owned)),
        None => (description, None),
    }
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect()
}
