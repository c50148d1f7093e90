//! `[[user]]`: who may connect, from where, and what for.

use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::file::Section;
use crate::names::{TableName, TablePattern};
use crate::network::Network;
use crate::secret::{Secret, read_secret_file};

/// How long a replica's yes is believed: a password that is changed there is of no use here a minute later, and
/// the replicas are asked once a minute, not once an INSERT.
const AUTH_CACHE_TIME: Duration = Duration::from_secs(60);

/// A user of Weir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, unique in the file.
    pub name: String,
    /// The passwords that open it; several while one takes another's place, none for a user that has no
    /// password.
    pub password_hashes: Vec<PasswordHash>,
    /// The tables it may insert into.
    pub tables: Vec<TablePattern>,
    /// The networks it may connect from; none means any.
    pub networks: Vec<Network>,
    /// What it may do.
    pub allow: Allow,
    /// The database of tables that are named without one.
    pub default_database: String,
    /// The cluster that its reads go to, by name.
    pub default_cluster: String,
    /// Who checks its password.
    pub auth: Auth,
    /// What becomes of its INSERTs into tables that Weir does not route.
    pub unrouted_inserts: UnroutedInserts,
    /// Whom its reads are passed through as; `None` is itself, with its own password.
    pub reads_as: Option<ReadsAs>,
}

/// The SHA-256 of a password. Not shown: a weak password can be found from it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow {
    /// INSERT, into the user's tables.
    pub insert: bool,
    /// Everything that only reads, under the rights that the shards give.
    pub select: bool,
}

/// Who checks a user's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Weir, by the hashes of the file.
    Weir,
    /// A replica of the user's default cluster.
    Clickhouse {
        /// How long its yes is believed without asking again.
        cache_time: Duration,
    },
}

/// What becomes of INSERTs into tables that Weir does not route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnroutedInserts {
    /// They get 503: a replica chosen at random must never take them.
    Refuse,
    /// They are passed through to a replica.
    Pass,
}

/// Credentials that reads are passed through with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadsAs {
    /// The shards' user.
    pub user: String,
    /// That user's password.
    pub password: Secret,
}

impl User {
    /// The user of a file without `[[user]]`: `default`, no password, this machine only.
    pub(crate) fn default_on_loopback(default_cluster: &str) -> User {
        User {
            name: "default".to_owned(),
            password_hashes: Vec::new(),
            tables: vec![TablePattern::every_table()],
            networks: Network::LOOPBACK.to_vec(),
            allow: Allow {
                insert: true,
                select: true,
            },
            default_database: "default".to_owned(),
            default_cluster: default_cluster.to_owned(),
            auth: Auth::Weir,
            unrouted_inserts: UnroutedInserts::Refuse,
            reads_as: None,
        }
    }

    /// Whether it may connect from this address.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether it may insert into this distributed table.
    pub fn may_insert(&self, table: &TableName) -> bool {
        self.allow.insert && self.tables.iter().any(|pattern| pattern.matches(table))
    }

    /// Whether its reads are passed through.
    pub fn may_select(&self) -> bool {
        self.allow.select
    }

    /// Whether `given` is one of its passwords. A user without a password takes any, as ClickHouse's
    /// `no_password` does. Takes the same time for every wrong password.
    pub fn password_matches(&self, given: &str) -> bool {
        if self.password_hashes.is_empty() {
            return true;
        }
        let given = Sha256::digest(given.as_bytes());
        let equal = self
            .password_hashes
            .iter()
            .map(|hash| hash.0.ct_eq(given.as_slice()));
        equal.fold(Choice::from(0), |any, this| any | this).into()
    }
}

impl PasswordHash {
    /// Reads 64 hexadecimal digits, what `printf %s "$PASSWORD" | sha256sum` prints. The error does not
    /// repeat them: they may be the password itself, in the wrong place.
    pub fn parse(text: &str) -> Result<PasswordHash, String> {
        let wrong = || "not 64 hexadecimal digits: printf %s \"$PASSWORD\" | sha256sum".to_owned();
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(PasswordHash(hash))
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

// === reading ===

/// Reads one `[[user]]`; `clusters` are the names of those in the file, the first of them the default.
pub(crate) fn read_user(section: &Section<'_>, clusters: &[&str]) -> Option<User> {
    let name = section.required("name", section.parsed("name", parse_user_name));
    let hashes = section.all_parsed("password_sha256_hex", PasswordHash::parse);
    let tables = section.all_parsed("tables", TablePattern::parse);
    let networks = section.all_parsed("networks", Network::parse);
    let default_database = section.text("default_database");
    let user = User {
        name: name.map(|name| name.value).unwrap_or_default(),
        password_hashes: hashes.map_or_else(Vec::new, values),
        tables: tables.map_or_else(|| vec![TablePattern::every_table()], values),
        networks: networks.map_or_else(Vec::new, values),
        allow: read_allow(section),
        default_database: default_database.map_or_else(|| "default".to_owned(), |text| text.value),
        default_cluster: read_default_cluster(section, clusters),
        auth: read_auth(section),
        unrouted_inserts: read_unrouted_inserts(section),
        reads_as: read_reads_as(section),
    };
    check_empty_lists(section);
    (!user.name.is_empty()).then_some(user)
}

fn values<T>(listed: crate::file::At<Vec<crate::file::At<T>>>) -> Vec<T> {
    listed.value.into_iter().map(|item| item.value).collect()
}

/// An empty list looks like "nobody" and would be read as "anybody".
fn check_empty_lists(section: &Section<'_>) {
    for key in ["password_sha256_hex", "networks"]
        .iter()
        .filter(|key| section.is_empty_list(key))
    {
        section.source.mistake(
            section.offset_of(key),
            format!("{key} is empty: leave it out or fill it"),
        );
    }
}

/// Names travel in HTTP headers.
pub(crate) fn parse_user_name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(char::is_control) {
        true => Err("a user's name has at least one character and no control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn read_allow(section: &Section<'_>) -> Allow {
    let Some(words) = section.texts("allow") else {
        return Allow {
            insert: true,
            select: true,
        };
    };
    let mut allow = Allow {
        insert: false,
        select: false,
    };
    for word in &words.value {
        match word.value.as_str() {
            "insert" => allow.insert = true,
            "select" => allow.select = true,
            other => {
                let text = format!("allow has '{other}': it is a list of 'insert' and 'select'");
                section.source.mistake(word.offset, text);
            }
        }
    }
    allow
}

fn read_default_cluster(section: &Section<'_>, clusters: &[&str]) -> String {
    let first = clusters.first().copied().unwrap_or_default();
    let Some(said) = section.text("default_cluster") else {
        return first.to_owned();
    };
    if !clusters.contains(&said.value.as_str()) {
        section.source.mistake(
            said.offset,
            format!("default_cluster: there is no [cluster.{}]", said.value),
        );
    }
    said.value
}

fn read_auth(section: &Section<'_>) -> Auth {
    let said_time = section.duration("auth_cache_time", Duration::ZERO..=Duration::from_secs(86_400));
    let cache_time = said_time.map_or(AUTH_CACHE_TIME, |said| said.value);
    let words = [
        ("weir", Auth::Weir),
        ("clickhouse", Auth::Clickhouse { cache_time }),
    ];
    let auth = section
        .choice("auth", &words)
        .map_or(Auth::Weir, |word| word.value);
    if auth == Auth::Weir && section.has("auth_cache_time") {
        section.mistake("auth_cache_time needs auth = \"clickhouse\"");
    }
    if auth != Auth::Weir && section.has("password_sha256_hex") {
        section.mistake(
            "auth = \"clickhouse\" and password_sha256_hex: a replica checks the password, or Weir does",
        );
    }
    auth
}

fn read_unrouted_inserts(section: &Section<'_>) -> UnroutedInserts {
    let words = [
        ("refuse", UnroutedInserts::Refuse),
        ("pass", UnroutedInserts::Pass),
    ];
    section
        .choice("unrouted_inserts", &words)
        .map_or(UnroutedInserts::Refuse, |word| word.value)
}

fn read_reads_as(section: &Section<'_>) -> Option<ReadsAs> {
    let user = section.parsed("as_user", parse_user_name);
    let password = read_secret_file(section, "as_password_file");
    if section.has("as_password_file") && !section.has("as_user") {
        section.mistake("as_password_file needs as_user");
    }
    let password = password.unwrap_or_else(|| Secret::of_text(""));
    user.map(|user| ReadsAs {
        user: user.value,
        password,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User::default_on_loopback("main")
    }

    fn hash_of(password: &str) -> PasswordHash {
        PasswordHash(Sha256::digest(password.as_bytes()).into())
    }

    #[test]
    fn a_hash_is_read_from_what_sha256sum_prints() {
        // printf %s abc | sha256sum; FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(PasswordHash::parse(abc), Ok(hash_of("abc")));
        assert_eq!(PasswordHash::parse(&abc.to_uppercase()), Ok(hash_of("abc")));
    }

    #[test]
    fn a_password_in_the_place_of_its_hash_is_refused_and_not_shown() {
        for text in ["hunter2", "", &"g".repeat(64), &"é".repeat(32)] {
            let error = PasswordHash::parse(text).unwrap_err();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn any_of_several_passwords_opens_a_user_and_no_other_does() {
        let user = User {
            password_hashes: vec![hash_of("old"), hash_of("new")],
            ..user()
        };
        assert!(user.password_matches("old") && user.password_matches("new"));
        assert!(!user.password_matches("") && !user.password_matches("older"));
    }

    #[test]
    fn a_user_without_password_takes_any() {
        assert!(user().password_matches("") && user().password_matches("left over"));
    }

    #[test]
    fn the_default_user_is_admitted_from_this_machine_only() {
        let admits = |address: &str| user().admits(address.parse().unwrap());
        assert!(admits("127.0.0.1") && admits("127.8.0.1") && admits("::1") && admits("::ffff:127.0.0.1"));
        assert!(!admits("10.0.0.1") && !admits("::2"));
    }

    #[test]
    fn a_user_inserts_into_its_tables_if_it_may_insert_at_all() {
        let tables = vec![TablePattern::parse("default.*").unwrap()];
        let hits = TableName::new("default", "hits");
        let mut user = User { tables, ..user() };
        assert!(user.may_insert(&hits) && !user.may_insert(&TableName::new("other", "hits")));
        user.allow.insert = false;
        assert!(!user.may_insert(&hits) && user.may_select());
    }
}
