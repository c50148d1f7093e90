//! Which replica may have a batch without having said so.

use std::fmt;

/// What is known of a batch's attempts. An attempt is open from its record on until an answer proves that it wrote nothing;
/// what proves nothing leaves it open for good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Doubt {
    /// The replica of the last attempt, while it is open.
    pub open: Option<String>,
    /// The replica of an earlier attempt that is open.
    pub earlier: Option<String>,
    /// When the first of the open attempts began, in milliseconds since 1970; 0 without one, and where nobody knows;
    /// [`FROM_THE_NEXT`] where an operator answers for what was before.
    pub since_ms: u64,
}

/// In a time's place: the time of the next attempt.
const FROM_THE_NEXT: u64 = u64::MAX;

/// Who may have a batch: of no attempt there is it known that it wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayHave<'a> {
    /// That replica (`host:port`).
    Replica(&'a str),
    /// Any: the records of its attempts are lost.
    Any,
}

/// In a replica's place, where records are lost.
const SOMEWHERE: &str = "";

impl Doubt {
    /// An attempt at that replica (`host:port`) begins, at that time in milliseconds since 1970; 0 where it is not known.
    pub fn began(&mut self, replica: &str, at_ms: u64) {
        if self.since_ms == FROM_THE_NEXT {
            *self = Doubt::default();
        }
        if self.replica().is_none() {
            self.since_ms = at_ms;
        }
        if let Some(before) = self.open.replace(replica.to_owned()) {
            self.earlier = Some(before);
        }
    }

    /// Attempts may have been made of which no record is left. What is known of others says no more than they would.
    pub fn began_somewhere(&mut self) {
        if self.replica().is_none() {
            self.earlier = Some(SOMEWHERE.to_owned());
            self.since_ms = 0;
        }
    }

    /// The last attempt wrote nothing.
    pub fn disproved(&mut self) {
        self.open = None;
        if self.earlier.is_none() {
            self.since_ms = 0;
        }
    }

    /// An operator wants it sent, having looked for its rows: what was before is no objection any more, neither to a repeat whose
    /// blocks may be forgotten nor to taking the batch apart when it is refused. The next attempt still goes to that replica, unless
    /// nobody knows which one it is, and is the first of which anything can be in doubt.
    pub fn vouched_for(&mut self) {
        match self.may_have() {
            None => {}
            Some(MayHave::Any) => *self = Doubt::default(),
            Some(MayHave::Replica(_)) => self.since_ms = FROM_THE_NEXT,
        }
    }

    /// When the first open attempt began, in milliseconds since 1970, or `otherwise` where nobody knows; none without one, and
    /// where it counts no more.
    pub fn counts_since_ms(&self, otherwise: u64) -> Option<u64> {
        self.may_have()?;
        match self.since_ms {
            FROM_THE_NEXT => None,
            0 => Some(otherwise),
            since_ms => Some(since_ms),
        }
    }

    /// Who may have the batch, the last one that was tried first.
    pub fn may_have(&self) -> Option<MayHave<'_>> {
        self.replica().map(MayHave::of)
    }

    /// The same before the last attempt.
    pub fn may_have_before(&self) -> Option<MayHave<'_>> {
        self.earlier.as_deref().map(MayHave::of)
    }

    fn replica(&self) -> Option<&str> {
        self.open.as_deref().or(self.earlier.as_deref())
    }
}

impl MayHave<'_> {
    fn of(address: &str) -> MayHave<'_> {
        match address {
            SOMEWHERE => MayHave::Any,
            address => MayHave::Replica(address),
        }
    }
}

impl fmt::Display for MayHave<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MayHave::Replica(address) => address.fmt(f),
            MayHave::Any => f.write_str("some replica"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_about_the_last_attempt_alone() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.replica(), None);
        doubt.began("a:1", 5);
        doubt.disproved();
        assert_eq!(doubt, Doubt::default());
        doubt.began("a:1", 7);
        doubt.began("b:1", 9);
        assert_eq!(doubt.since_ms, 7, "the first that is open");
        assert_eq!(doubt.replica(), Some("b:1"));
        doubt.disproved();
        assert_eq!(doubt.replica(), Some("a:1"), "its attempt is still open");
        doubt.disproved();
        assert_eq!(doubt.replica(), Some("a:1"));
    }

    #[test]
    fn an_operator_who_looked_answers_for_what_was_before_the_next_attempt_which_goes_to_the_same_replica() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.counts_since_ms(3), None);
        doubt.began("a:1", 0);
        assert_eq!(doubt.counts_since_ms(3), Some(3), "the time is not known");
        doubt.vouched_for();
        assert_eq!(doubt.counts_since_ms(3), None);
        assert_eq!(doubt.may_have(), Some(MayHave::Replica("a:1")));
        doubt.began("a:1", 8);
        assert_eq!(doubt.counts_since_ms(3), Some(8));
        assert_eq!(doubt.may_have_before(), None);
        doubt.disproved();
        assert_eq!(doubt, Doubt::default());

        let mut lost = Doubt::default();
        lost.began_somewhere();
        lost.vouched_for();
        assert_eq!(lost, Doubt::default());
    }
}
