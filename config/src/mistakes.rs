//! What is wrong, or merely doubtful, in a configuration: each remark with the line it is about.

use std::fmt;

/// One remark about the file: a mistake or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The file, as it was named to Weir.
    pub file: String,
    /// The line, counted from 1; absent when the remark is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong and what would be right. Never a password.
    pub text: String,
}

/// Everything that keeps a configuration from being used, told at once, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// At least one remark.
    pub list: Vec<Remark>,
}

impl Mistakes {
    /// One mistake about the file as a whole.
    pub(crate) fn of_file(file: &str, text: String) -> Mistakes {
        let remark = Remark {
            file: file.to_owned(),
            line: None,
            text,
        };
        Mistakes { list: vec![remark] }
    }
}

/// `weir.toml:12: unknown key 'wieght' …`, in the form that editors and terminals make clickable.
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.text),
            None => write!(f, "{}: {}", self.file, self.text),
        }
    }
}

/// One remark a line, without a line end after the last.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, remark) in self.list.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{remark}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
