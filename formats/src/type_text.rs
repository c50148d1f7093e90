//! Types that `types` knows by their text only, taken apart: Variant, JSON, SimpleAggregateFunction …

use types::DataType;

/// `Word(argument, …)` taken apart; none when the bracket is not closed at the end.
pub(crate) fn word_and_arguments(name: &str) -> Option<(&str, Vec<&str>)> {
    match name.split_once('(') {
        Some((word, rest)) => Some((word.trim(), arguments(rest.trim_end().strip_suffix(')')?))),
        None => Some((name.trim(), Vec::new())),
    }
}

/// A Variant's types as they are numbered: in the order of their names, whatever order they are written in.
pub(crate) fn variant_types(arguments: &[&str]) -> Option<Vec<DataType>> {
    let types = arguments.iter().map(|argument| DataType::parse(argument).ok());
    let mut types: Vec<DataType> = types.collect::<Option<_>>()?;
    types.sort_by_cached_key(ToString::to_string);
    Some(types)
}

/// The typed paths among a JSON type's arguments; `SKIP …` and `max_dynamic_…=…` say nothing of its bytes.
pub(crate) fn typed_paths(arguments: &[&str]) -> Option<Vec<(String, DataType)>> {
    let mut typed = Vec::new();
    for argument in arguments {
        if argument.starts_with("SKIP ") || argument.contains('=') {
            continue;
        }
        let DataType::Tuple(elements) = DataType::parse(&format!("Tuple({})", quoted(argument)?)).ok()?
        else {
            return None;
        };
        let [(Some(path), data_type)] = elements.as_slice() else {
            return None;
        };
        typed.push((path.clone(), data_type.clone()));
    }
    Some(typed)
}

/// `a.b UInt8` with its path in back quotes, as a tuple's element is written.
fn quoted(argument: &str) -> Option<String> {
    if argument.starts_with('`') {
        // A path of several quoted parts is one name with the dots inside.
        let (path, data_type) = argument.rsplit_once("` ")?;
        return Some(format!("`{}` {data_type}", path.replace('`', "")));
    }
    let (path, data_type) = argument.split_once(' ')?;
    Some(format!("`{path}` {data_type}"))
}

/// What stands between the commas outside brackets and quotes.
fn arguments(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => drop(bytes.next()),
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'`' | b'"') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, b',') if depth == 0 => {
                found.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[start..].trim());
    found.retain(|argument| !argument.is_empty());
    found
}
