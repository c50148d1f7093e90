//! The settings that the configuration knows and this version of Weir cannot do yet.
//!
//! They are read, checked and then refused, so that none is silently ignored. Building one of them ends with
//! the removal of its line here.

/// One refused setting.
struct Unbuilt {
    /// What the section describes: `spool`, `cluster`, `table`, …
    section: &'static str,
    key: &'static str,
    /// The refused word, or `None` for the key whatever it says.
    word: Option<&'static str>,
}

const fn word(section: &'static str, key: &'static str, word: &'static str) -> Unbuilt {
    Unbuilt {
        section,
        key,
        word: Some(word),
    }
}

const UNBUILT: &[Unbuilt] = &[
    word("spool", "provider", "kafka"),
    word("cluster", "ddl", "forward"),
    word("cluster", "ddl", "replicate"),
];

/// Whether this version has to refuse `key = word` (or `key` at all) in a section of this kind.
pub(crate) fn is_unbuilt(section: &str, key: &str, word: Option<&str>) -> bool {
    UNBUILT
        .iter()
        .any(|unbuilt| unbuilt.section == section && unbuilt.key == key && unbuilt.word == word)
}
