//! By what an INSERT is recognised when its client sends it again, and for how long.
//!
//! A client that saw no answer sends its INSERT again; nobody but Weir can know that it was accepted. Whatever two
//! INSERTs are compared by goes into one 128-bit key:
//!
//! | Kind | What must be equal |
//! |---|---|
//! | token | user, table, insert_deduplication_token. An INSERT with a token is recognised by nothing else |
//! | query id | user, table, the client's own query id, the hash of the body |
//! | identical | user, table, the hash of the body |
//!
//! The hash of the body is the caller's: it covers everything that decides which rows the body stands for (format, settings,
//! columns), so that equal bytes which are read in two ways are two bodies.

use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

/// What an INSERT says of itself, as far as a later one may be its retry.
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// Who sends it.
    pub user: &'a str,
    /// The distributed table.
    pub table: &'a str,
    /// The client's insert_deduplication_token.
    pub token: Option<&'a str>,
    /// The client's query id; empty where Weir made one.
    pub query_id: &'a str,
    /// 128-bit hash of the decoded body and of what decides how it is read, where it was computed.
    pub body_hash: Option<u128>,
}

/// How long INSERTs are remembered, by what they are recognised by; zero is not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryWindows {
    /// By their token.
    pub token: Duration,
    /// By query id and body.
    pub query_id: Duration,
    /// By their body alone.
    pub identical: Duration,
}

/// How much is remembered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryStatus {
    /// Keys of INSERTs.
    pub entries: u64,
    /// How far back retries are really recognised: less than was asked for while there is no room for more.
    pub windows: RetryWindows,
}

/// By what an INSERT is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Token,
    QueryId,
    Identical,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Kind; 3] = [Kind::Token, Kind::QueryId, Kind::Identical];
}

impl RetryWindows {
    /// Nothing is forgotten for its age: for whoever opens a spool without knowing how it is configured.
    pub const FOR_EVER: RetryWindows = RetryWindows {
        token: Duration::MAX,
        query_id: Duration::MAX,
        identical: Duration::MAX,
    };

    /// Of each the longer.
    pub fn longest(self, other: RetryWindows) -> RetryWindows {
        RetryWindows {
            token: self.token.max(other.token),
            query_id: self.query_id.max(other.query_id),
            identical: self.identical.max(other.identical),
        }
    }

    pub(crate) fn of(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Token => self.token,
            Kind::QueryId => self.query_id,
            Kind::Identical => self.identical,
        }
    }

    pub(crate) fn of_mut(&mut self, kind: Kind) -> &mut Duration {
        match kind {
            Kind::Token => &mut self.token,
            Kind::QueryId => &mut self.query_id,
            Kind::Identical => &mut self.identical,
        }
    }
}

impl Signature<'_> {
    /// What the INSERT is remembered by. The seed is the spool's own, so that nobody can prepare an INSERT that passes
    /// for another user's.
    pub(crate) fn keys(&self, seed: u64) -> impl Iterator<Item = (Kind, u128)> + use<> {
        let body = self.body_hash.map(u128::to_le_bytes);
        let key = |kind: Kind, rest: &[&[u8]]| (kind, self.key(seed, kind, rest));
        let both = match (self.token, &body) {
            (Some(token), _) => [Some(key(Kind::Token, &[token.as_bytes()])), None],
            (None, None) => [None, None],
            (None, Some(body)) => {
                let query_id = self.query_id.as_bytes();
                let by_query_id = || key(Kind::QueryId, &[query_id, body]);
                [
                    (!query_id.is_empty()).then(by_query_id),
                    Some(key(Kind::Identical, &[body])),
                ]
            }
        };
        both.into_iter().flatten()
    }

    /// Each part stands behind its length, so that no two lists of parts are the same bytes.
    fn key(&self, seed: u64, kind: Kind, rest: &[&[u8]]) -> u128 {
        let mut hash = Xxh3::with_seed(seed);
        hash.update(&[kind as u8]);
        let whose = [self.user.as_bytes(), self.table.as_bytes()];
        for part in whose.iter().chain(rest) {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Signature<'_> = Signature {
        user: "app",
        table: "d.t",
        token: Some("t1"),
        query_id: "q1",
        body_hash: Some(7),
    };

    fn keys(signature: Signature<'_>) -> Vec<(Kind, u128)> {
        signature.keys(1).collect()
    }

    fn kinds(signature: Signature<'_>) -> Vec<Kind> {
        signature.keys(1).map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_token_is_the_only_thing_that_its_insert_is_recognised_by() {
        assert_eq!(kinds(PLAIN), [Kind::Token]);
        let another_body = Signature {
            body_hash: Some(8),
            query_id: "q2",
            ..PLAIN
        };
        assert_eq!(keys(PLAIN), keys(another_body));
    }

    #[test]
    fn without_a_token_it_is_the_body_with_and_without_a_query_id_of_the_clients_own() {
        let tokenless = Signature { token: None, ..PLAIN };
        assert_eq!(kinds(tokenless), [Kind::QueryId, Kind::Identical]);
        let nameless = Signature {
            query_id: "",
            ..tokenless
        };
        assert_eq!(kinds(nameless), [Kind::Identical]);
        let unread = Signature {
            body_hash: None,
            ..tokenless
        };
        assert_eq!(kinds(unread), []);
    }

    #[test]
    fn whose_insert_it_is_and_every_border_between_the_parts_counts() {
        let mut others = vec![PLAIN];
        others.extend([
            Signature {
                user: "app2",
                ..PLAIN
            },
            Signature {
                table: "d.u",
                ..PLAIN
            },
            Signature {
                user: "ap",
                table: "pd.t",
                ..PLAIN
            },
            Signature {
                token: Some("t2"),
                ..PLAIN
            },
        ]);
        let keys: std::collections::HashSet<_> = others.into_iter().flat_map(keys).collect();
        assert_eq!(keys.len(), 5);
        assert_ne!(PLAIN.keys(1).next(), PLAIN.keys(2).next(), "another spool's seed");
    }
}
