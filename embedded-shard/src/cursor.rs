//! A place in bytes that moves forward: what every reader of this crate reads from.

/// Bytes and how far they were read.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Byte offset of the next byte to read.
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// What was read since `start`.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Reads one byte.
    pub fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Steps over these bytes if they come next.
    pub fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Reads so many bytes, or none when there are fewer.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.rest().get(..count)?;
        self.at += count;
        Some(bytes)
    }

    /// Reads on while the bytes satisfy the condition.
    pub fn take_while(&mut self, condition: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest
            .iter()
            .position(|byte| !condition(*byte))
            .unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// Steps over spaces, tabs and line ends.
    pub fn skip_space(&mut self) {
        self.take_while(|byte| byte.is_ascii_whitespace());
    }

    /// The next few bytes as an error shows them.
    pub fn shown(&self) -> String {
        shown(self.rest())
    }
}

/// At most that many bytes of a client's data stand in an error.
const SHOWN_BYTES: usize = 40;

/// The first bytes of a text as an error shows them, quoted, with line ends and the like escaped.
pub(crate) fn shown(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "the end of the data".to_owned();
    }
    let dots = if bytes.len() > SHOWN_BYTES { "…" } else { "" };
    format!(
        "'{}{dots}'",
        String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).escape_debug()
    )
}
