//! The fields that are wanted of nested objects, as a tree of their names.
//! It must not know a format.

use std::collections::HashMap;

use super::shape::RowsIn;

/// A node of the tree: an object, or a field of one.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where the value is wanted, by its place among the fields that are read.
    pub(super) field: Option<usize>,
    /// It is what the rows are taken from.
    pub(super) rows_in: Option<RowsIn>,
    /// The nodes of an object's fields.
    children: HashMap<String, usize>,
    /// All fields that are wanted below.
    pub(super) below: Vec<usize>,
}

/// Nodes by their place; the first is the object itself.
#[derive(Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
}

impl Paths {
    /// The object itself.
    pub(super) const ROOT: usize = 0;

    pub(super) fn new() -> Self {
        Paths { nodes: vec![Node::default()] }
    }

    /// The tree of these fields.
    pub(super) fn of(fields: &[String]) -> Self {
        let mut paths = Paths::new();
        fields.iter().enumerate().for_each(|(at, name)| paths.want(name, at));
        paths
    }

    /// The tree of these fields for the elements of a list: those that a path leads to through the
    /// list, and all others by their own names.
    pub(super) fn of_elements(fields: &[String], list: &str) -> Self {
        let within = format!("{list}.");
        let mut paths = Paths::new();
        for (at, name) in fields.iter().enumerate() {
            paths.want(name.strip_prefix(&within).unwrap_or(name), at);
        }
        paths
    }

    /// Wants a field: a name as it stands there, and where it has dots also the path that it is.
    pub(super) fn want(&mut self, name: &str, field: usize) {
        let literal = self.child_of(Self::ROOT, name);
        self.nodes[literal].field = Some(field);
        if name.contains('.') {
            let node = self.node_of(name, Some(field));
            self.nodes[node].field = Some(field);
        }
    }

    /// Takes the rows from what is at a path.
    pub(super) fn take_apart(&mut self, path: &str, rows_in: RowsIn) {
        let node = self.node_of(path, None);
        self.nodes[node].rows_in = Some(rows_in);
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node of an object's field.
    pub(super) fn child(&self, node: usize, name: &str) -> Option<usize> {
        self.nodes[node].children.get(name).copied()
    }

    /// The fields that are wanted of an object, and their nodes.
    pub(super) fn children(&self, node: usize) -> impl Iterator<Item = (&String, usize)> {
        self.nodes[node].children.iter().map(|(name, child)| (name, *child))
    }

    fn node_of(&mut self, path: &str, field: Option<usize>) -> usize {
        path.split('.').fold(Self::ROOT, |node, name| {
            if node != Self::ROOT {
                self.nodes[node].below.extend(field);
            }
            self.child_of(node, name)
        })
    }

    fn child_of(&mut self, node: usize, name: &str) -> usize {
        if let Some(child) = self.child(node, name) {
            return child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[node].children.insert(name.to_owned(), child);
        child
    }
}

impl Node {
    /// Whether something of the object is wanted.
    pub(super) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }
}
