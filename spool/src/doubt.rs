//! Which replica may have a batch without having said so.

/// What is known of a batch's attempts. An attempt is open from its record on until an answer proves that it wrote nothing;
/// what proves nothing leaves it open for good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Doubt {
    /// The replica of the last attempt, while it is open.
    pub open: Option<String>,
    /// The replica of an earlier attempt that is open.
    pub earlier: Option<String>,
}

/// In a replica's place, where records are lost: some replica may have been tried.
pub const SOMEWHERE: &str = "";

impl Doubt {
    /// An attempt at that replica (`host:port`) begins.
    pub fn began(&mut self, replica: &str) {
        if let Some(before) = self.open.replace(replica.to_owned()) {
            self.earlier = Some(before);
        }
    }

    /// Attempts may have been made of which no record is left. What is known of others says no more than they would.
    pub fn began_somewhere(&mut self) {
        if self.replica().is_none() {
            self.earlier = Some(SOMEWHERE.to_owned());
        }
    }

    /// The last attempt wrote nothing.
    pub fn disproved(&mut self) {
        self.open = None;
    }

    /// The replica that may have the batch, the last one first.
    pub fn replica(&self) -> Option<&str> {
        self.open.as_deref().or(self.earlier.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_about_the_last_attempt_alone() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.replica(), None);
        doubt.began("a:1");
        doubt.disproved();
        assert_eq!(doubt.replica(), None);
        doubt.began("a:1");
        doubt.began("b:1");
        assert_eq!(doubt.replica(), Some("b:1"));
        doubt.disproved();
        assert_eq!(doubt.replica(), Some("a:1"), "its attempt is still open");
        doubt.disproved();
        assert_eq!(doubt.replica(), Some("a:1"));
    }
}
