//! Multipart forms (RFC 7578): a part `query`, parts `param_…`, and files, which are external tables.
//!
//! Clients send them when a query has so many parameters that a URL would not hold them. What Weir judges a server will
//! read again, so everything that two readers could take in two ways is refused.

use bytes::{Bytes, BytesMut};

use super::body::RequestBody;
use crate::exception::{Exception, code};

/// Bytes of a form, all parts together: it is held in memory.
pub const FORM_BYTES_MAX: usize = 4 << 20;

/// What a form asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// The part `query`; empty when there is none.
    pub query: String,
    /// The parts `param_…`, under these names.
    pub parameters: Vec<(String, String)>,
}

/// The boundary that a Content-Type names.
pub fn boundary(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';').skip(1);
    let value = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim())
    })?;
    let value = value
        .strip_prefix('"')
        .map_or(Some(value), |rest| rest.strip_suffix('"'))?;
    // RFC 2046, 5.1.1.
    (1..=70).contains(&value.len()).then(|| value.to_owned())
}

/// Reads a whole form: its bytes as they came, and what they ask.
pub async fn read(body: &mut RequestBody, boundary: &str) -> Result<(Bytes, Form), Exception> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await? {
        if bytes.len() + chunk.len() > FORM_BYTES_MAX {
            return Err(refused(format!(
                "The multipart form has more than {FORM_BYTES_MAX} bytes: send large external tables to a server directly."
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    let form = parse(&bytes, boundary)?;
    Ok((bytes.freeze(), form))
}

fn refused(message: impl Into<String>) -> Exception {
    Exception::bad_input(code::BAD_ARGUMENTS, message)
}

/// Reads the parts.
fn parse(bytes: &[u8], boundary: &str) -> Result<Form, Exception> {
    let cut = || {
        refused("The multipart form is cut short, or its boundary is not the one that Content-Type names.")
    };
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = bytes.strip_prefix(&delimiter.as_bytes()[2..]).ok_or_else(cut)?;
    let mut form = Form::default();
    loop {
        if rest.starts_with(b"--") {
            return Ok(form);
        }
        rest = rest.strip_prefix(b"\r\n").ok_or_else(cut)?;
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(cut)?;
        let content = &rest[head_end + 4..];
        let end = find(content, delimiter.as_bytes()).ok_or_else(cut)?;
        form.take(&rest[..head_end], &content[..end])?;
        rest = &content[end + delimiter.len()..];
    }
}

impl Form {
    fn take(&mut self, head: &[u8], content: &[u8]) -> Result<(), Exception> {
        let part = Part::read(head)?;
        if part.is_file {
            return Ok(()); // the server's matter
        }
        let text = || String::from_utf8(content.to_vec());
        let text = text().map_err(|_| refused(format!("The form's part {} is not UTF-8.", part.name)))?;
        match part.name.as_str() {
            "query" if self.query.is_empty() => self.query = text,
            "query" => return Err(refused("The form has two parts named query: send one.")),
            name if name.starts_with("param_") => {
                if self.parameters.iter().any(|(known, _)| known == name) {
                    return Err(refused(format!("The form has two parts named {name}: send one.")));
                }
                self.parameters.push((part.name, text));
            }
            // As in ClickHouse, settings come in the URL alone.
            _ => {}
        }
        Ok(())
    }
}

/// What a part's Content-Disposition says.
struct Part {
    name: String,
    is_file: bool,
}

impl Part {
    fn read(head: &[u8]) -> Result<Self, Exception> {
        let odd =
            || refused("A part of the multipart form has no Content-Disposition: form-data; name=\"…\".");
        let head = std::str::from_utf8(head).map_err(|_| odd())?;
        let mut dispositions = head.split("\r\n").filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition")
                .then(|| value.trim())
        });
        let (Some(disposition), None) = (dispositions.next(), dispositions.next()) else {
            return Err(odd());
        };
        let mut part = Self {
            name: String::new(),
            is_file: false,
        };
        let mut rest = disposition.strip_prefix("form-data").ok_or_else(odd)?;
        while !rest.is_empty() {
            rest = rest.strip_prefix(';').ok_or_else(odd)?.trim_start();
            let (name, value) = rest.split_once("=\"").ok_or_else(odd)?;
            let end = value
                .find('"')
                .filter(|end| !value[..*end].contains('\\'))
                .ok_or_else(odd)?;
            match name {
                "name" if part.name.is_empty() => value[..end].clone_into(&mut part.name),
                "filename" => part.is_file = true,
                _ => return Err(odd()),
            }
            rest = value[end + 1..].trim_start();
        }
        if part.name.is_empty() {
            Err(odd())
        } else {
            Ok(part)
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(disposition: &str, content: &str) -> String {
        format!("--x\r\nContent-Disposition: {disposition}\r\n\r\n{content}\r\n")
    }

    fn form(parts: &[String]) -> Result<Form, Exception> {
        parse(format!("{}--x--\r\n", parts.concat()).as_bytes(), "x")
    }

    #[test]
    fn query_and_parameters_are_taken_and_files_left_to_the_server() {
        let read = form(&[
            part("form-data; name=\"query\"", "SELECT {a:String}\r\n -- x"),
            part("form-data; name=\"param_a\"", "v"),
            part("form-data; name=\"external\"; filename=\"f\"", "--y"),
            part("form-data; name=\"max_threads\"", "1"),
        ]);
        let expected = Form {
            query: "SELECT {a:String}\r\n -- x".into(),
            parameters: vec![("param_a".into(), "v".into())],
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn what_a_server_might_read_otherwise_is_refused() {
        let query = |text| part("form-data; name=\"query\"", text);
        assert!(form(&[query("SELECT 1"), query("DROP TABLE t")]).is_err());
        for odd in [
            "form-data; name=query",
            "form-data; name=\"query\"; name*=\"x\"",
            "form-data; name=\"qu\\\"ery\"",
            "attachment; name=\"query\"",
            "form-data",
        ] {
            assert!(form(&[part(odd, "SELECT 1")]).is_err(), "{odd}");
        }
        assert!(parse(b"--x\r\n\r\nSELECT 1\r\n--x--", "x").is_err());
    }

    #[test]
    fn a_form_cut_anywhere_is_refused() {
        let whole = part("form-data; name=\"query\"", "SELECT 1") + "--x--";
        assert!(parse(whole.as_bytes(), "x").is_ok());
        for cut in 0..whole.len() {
            assert!(parse(&whole.as_bytes()[..cut], "x").is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_boundary_is_read_with_and_without_quotes() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "multipart/form-data; charset=utf-8; Boundary=\"a b\"",
                Some("a b"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a", None),
        ] {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        }
    }
}
