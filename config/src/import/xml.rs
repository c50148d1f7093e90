//! ClickHouse's XML as a tree that can be merged: what `ConfigProcessor` of the server does with `config.d/`.

use roxmltree::{Document, Node, ParsingOptions};

/// A file is larger only by accident.
pub const FILE_BYTES_MAX: usize = 8 << 20;

/// Nothing in a server's configuration is deeper; the walk through it is recursive.
const DEPTH_MAX: usize = 64;

/// An element with what it contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its tag.
    pub name: String,
    attributes: Vec<(String, String)>,
    /// Elements in it, in order.
    pub children: Vec<Element>,
    text: String,
}

/// Attributes that say what is to be done with an element, and do not tell it from another.
const ORDERS: &[&str] = &["replace", "remove", "incl", "from_env", "from_zk", "optional"];

impl Element {
    /// Reads a document's root.
    pub fn parse(text: &str) -> Result<Element, String> {
        if text.len() > FILE_BYTES_MAX {
            return Err(format!(
                "it has {} bytes, at most {FILE_BYTES_MAX} are read",
                text.len()
            ));
        }
        // A DTD is of no use here, and its entities could expand without end.
        let options = ParsingOptions {
            allow_dtd: false,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
        Element::of_node(document.root_element(), 0)
    }

    fn of_node(node: Node<'_, '_>, depth: usize) -> Result<Element, String> {
        if depth > DEPTH_MAX {
            return Err(format!("elements are nested more than {DEPTH_MAX} deep"));
        }
        let attributes = node.attributes();
        let children = node.children().filter(Node::is_element);
        let texts = node
            .children()
            .filter(Node::is_text)
            .filter_map(|text| text.text());
        Ok(Element {
            name: node.tag_name().name().to_owned(),
            attributes: attributes
                .map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()))
                .collect(),
            text: texts.collect(),
            children: children
                .map(|child| Element::of_node(child, depth + 1))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first child with this tag.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text without the blanks around it.
    pub fn text(&self) -> &str {
        self.text.trim()
    }

    /// The text of the first child with this tag, if it says anything.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name)
            .map(Element::text)
            .filter(|text| !text.is_empty())
    }

    /// Takes what another file says over this one: elements of the same tag and attributes are merged, each
    /// with the next of its kind; `replace` takes the place of one, `remove` takes it away.
    pub fn merge(&mut self, with: Element) {
        // What the other file says in words goes before.
        if !with.text().is_empty() || !with.children.is_empty() {
            self.text.clone_from(&with.text);
        }
        let mut merged = vec![false; self.children.len()];
        let mut removed = Vec::new();
        let mut added = Vec::new();
        for child in with.children {
            let free = |at: &usize| !merged[*at] && self.children[*at].is_same_as(&child);
            let Some(at) = (0..merged.len()).find(free) else {
                if child.attribute("remove").is_none() {
                    added.push(child);
                }
                continue;
            };
            merged[at] = true;
            if child.attribute("remove").is_some() {
                removed.push(at);
            } else if child.attribute("replace").is_some() {
                self.children[at] = child;
            } else {
                self.children[at].take_orders(&child);
                self.children[at].merge(child);
            }
        }
        removed.sort_unstable();
        for at in removed.into_iter().rev() {
            self.children.remove(at);
        }
        self.children.extend(added);
    }

    /// `incl` and its like of the other file count as well.
    fn take_orders(&mut self, other: &Element) {
        for (name, value) in &other.attributes {
            if ORDERS.contains(&name.as_str()) && self.attribute(name).is_none() {
                self.attributes.push((name.clone(), value.clone()));
            }
        }
    }

    fn is_same_as(&self, other: &Element) -> bool {
        fn told(element: &Element) -> Vec<&(String, String)> {
            let attributes = element.attributes.iter();
            let mut told: Vec<_> = attributes
                .filter(|(name, _)| !ORDERS.contains(&name.as_str()))
                .collect();
            told.sort();
            told
        }
        self.name == other.name && told(self) == told(other)
    }

    /// Puts what stands in `from` under the path of each `incl` into its element. Returns the paths that are
    /// not there.
    pub fn include(&mut self, from: Option<&Element>) -> Vec<String> {
        let mut missing = Vec::new();
        self.include_below(from, 0, &mut missing);
        missing
    }

    fn include_below(&mut self, from: Option<&Element>, depth: usize, missing: &mut Vec<String>) {
        // What is included may include in turn.
        if depth > DEPTH_MAX {
            return;
        }
        if let Some(path) = self.attribute("incl").map(str::to_owned) {
            self.attributes.retain(|(name, _)| name != "incl");
            match from.and_then(|from| from.at(&path)) {
                Some(found) => {
                    self.text.push_str(&found.text);
                    self.children.extend(found.children.iter().cloned());
                    self.take_orders(found);
                }
                None if self.attribute("optional").is_none() => missing.push(path),
                None => {}
            }
        }
        for child in &mut self.children {
            child.include_below(from, depth + 1, missing);
        }
        // <include incl="…"/> is not an element of its own: what it includes stands in its place.
        if self.children.iter().any(|child| child.name == "include") {
            let children = std::mem::take(&mut self.children);
            let spread = children.into_iter().flat_map(|child| match child.name.as_str() {
                "include" => child.children,
                _ => vec![child],
            });
            self.children = spread.collect();
        }
    }

    fn at(&self, path: &str) -> Option<&Element> {
        let mut found = self;
        for name in path.split(['/', '.']).filter(|name| !name.is_empty()) {
            found = found.child(name)?;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(text: &str) -> Element {
        Element::parse(text).unwrap()
    }

    #[track_caller]
    fn check_merged(text: &str, with: &str, expected: &str) {
        let mut merged = element(text);
        merged.merge(element(with));
        assert_eq!(shown(&merged), shown(&element(expected)));
    }

    /// Without blanks, for comparing.
    fn shown(element: &Element) -> String {
        let children: String = element.children.iter().map(shown).collect();
        format!("{}({}{children})", element.name, element.text())
    }

    #[test]
    fn files_are_merged_element_by_element_as_a_server_does() {
        check_merged(
            "<a><b>1</b><c>2</c></a>",
            "<a><b>3</b><d>4</d></a>",
            "<a><b>3</b><c>2</c><d>4</d></a>",
        );
        check_merged(
            "<a><s><h>1</h></s><s><h>2</h></s></a>",
            "<a><s><w>9</w></s><s><w>8</w></s><s><w>7</w></s></a>",
            "<a><s><h>1</h><w>9</w></s><s><h>2</h><w>8</w></s><s><w>7</w></s></a>",
        );
    }

    #[test]
    fn replace_and_remove_do_what_they_say() {
        check_merged(
            "<a><b><x>1</x></b><c>2</c><d>3</d></a>",
            "<a><b replace='replace'><y>1</y></b><c remove='1'/><e remove='1'/></a>",
            "<a><b><y>1</y></b><d>3</d></a>",
        );
    }

    #[test]
    fn what_is_included_stands_in_its_element_or_in_the_place_of_include() {
        let from = element("<r><servers><c>1</c></servers><more><d>2</d></more></r>");
        let mut including = element(
            "<a><b incl='servers'/><include incl='more'/><e incl='none'/><f incl='no' optional='true'/></a>",
        );
        assert_eq!(including.include(Some(&from)), ["none"]);
        assert_eq!(shown(&including), "a(b(c(1))d(2)e()f())");
    }

    #[test]
    fn nonsense_and_bombs_are_refused() {
        assert!(Element::parse("").is_err());
        assert!(Element::parse("<a>").is_err());
        assert!(Element::parse("<!DOCTYPE a [<!ENTITY x 'xx'>]><a>&x;</a>").is_err());
        let deep = "<a>".repeat(100_000) + &"</a>".repeat(100_000);
        assert!(Element::parse(&deep).is_err());
    }
}
