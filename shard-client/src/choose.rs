//! Which of a shard's replicas gets a request: ClickHouse's `load_balancing`, over those that are usable.

use std::str::FromStr;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

use crate::health::Health;

/// How a replica is chosen, in the words of ClickHouse's setting `load_balancing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LoadBalancing {
    /// Any.
    #[default]
    Random,
    /// The one whose host name is most like this machine's: fewest characters that differ at the same place.
    NearestHostname,
    /// The first in the configuration's order.
    InOrder,
    /// The first, or any other while it is down.
    FirstOrRandom,
    /// One after the other.
    RoundRobin,
}

impl FromStr for LoadBalancing {
    type Err = String;

    fn from_str(name: &str) -> Result<LoadBalancing, String> {
        Ok(match name {
            "random" => LoadBalancing::Random,
            "nearest_hostname" => LoadBalancing::NearestHostname,
            "in_order" => LoadBalancing::InOrder,
            "first_or_random" => LoadBalancing::FirstOrRandom,
            "round_robin" => LoadBalancing::RoundRobin,
            other => return Err(format!("unknown load_balancing {other:?}")),
        })
    }
}

/// One replica to choose from.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its host name, for `nearest_hostname`.
    pub host: &'a str,
    /// Its state.
    pub health: &'a Health,
}

/// The replica that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Its place among the candidates.
    pub index: usize,
    /// Every candidate was down, and this is the one due first. The last replica is never banned: a request
    /// that has nowhere else to go is a better probe than none.
    pub all_down: bool,
}

/// Chooses among the replicas of one shard. Holds nothing but whose turn it is.
#[derive(Debug, Clone)]
pub struct Chooser {
    policy: LoadBalancing,
    local_host: String,
    turn: usize,
}

impl Chooser {
    /// `local_host` is this machine's name.
    pub fn new(policy: LoadBalancing, local_host: impl Into<String>) -> Chooser {
        Chooser {
            policy,
            local_host: local_host.into(),
            turn: 0,
        }
    }

    /// The replica to ask; `None` only without candidates. A replica that must not be asked again (it refused
    /// this very batch) is left out of the candidates by the caller.
    pub fn choose(
        &mut self,
        candidates: &[Candidate<'_>],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Choice> {
        let usable: Vec<usize> = (0..candidates.len())
            .filter(|&at| candidates[at].health.is_usable())
            .collect();
        if usable.is_empty() {
            return due_first(candidates, now).map(|index| Choice {
                index,
                all_down: true,
            });
        }
        let index = self.among(&usable, candidates, rng);
        Some(Choice {
            index,
            all_down: false,
        })
    }

    /// `usable` is in the candidates' order and not empty.
    fn among(&mut self, usable: &[usize], candidates: &[Candidate<'_>], rng: &mut impl Rng) -> usize {
        match self.policy {
            LoadBalancing::Random => any(usable, rng),
            LoadBalancing::NearestHostname => any(&self.nearest(usable, candidates), rng),
            LoadBalancing::InOrder => usable[0],
            LoadBalancing::FirstOrRandom if usable[0] == 0 => 0,
            LoadBalancing::FirstOrRandom => any(usable, rng),
            LoadBalancing::RoundRobin => self.next_in_turn(usable),
        }
    }

    fn nearest(&self, usable: &[usize], candidates: &[Candidate<'_>]) -> Vec<usize> {
        let distance = |at: &usize| host_distance(&self.local_host, candidates[*at].host);
        let least = usable.iter().map(distance).min();
        usable
            .iter()
            .copied()
            .filter(|at| Some(distance(at)) == least)
            .collect()
    }

    fn next_in_turn(&mut self, usable: &[usize]) -> usize {
        self.turn = self.turn.wrapping_add(1);
        usable[self.turn.wrapping_sub(1) % usable.len()]
    }
}

fn any(usable: &[usize], rng: &mut impl Rng) -> usize {
    usable[rng.random_range(0..usable.len())]
}

/// Among replicas that are all down, the one whose probe is due first.
fn due_first(candidates: &[Candidate<'_>], now: Instant) -> Option<usize> {
    (0..candidates.len()).min_by_key(|&at| candidates[at].health.pause_ends().unwrap_or(now))
}

/// The number of places at which the names differ, up to the end of the shorter one, as ClickHouse counts
/// (`getHostNameDifference`).
fn host_distance(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{SeedableRng as _, rngs::SmallRng};

    use super::*;
    use crate::health::Backoff;

    const HOSTS: [&str; 3] = ["ch-b-01", "ch-a-01", "ch-a-02"];

    fn down(pause_ms: u64) -> Health {
        let backoff = Backoff {
            first: Duration::from_millis(pause_ms),
            max: Duration::from_secs(60),
        };
        let mut health = Health::new();
        health.failed(&backoff, Instant::now(), &mut SmallRng::seed_from_u64(1));
        health
    }

    /// The replicas chosen in `times` turns.
    fn chosen(policy: LoadBalancing, health: &[Health; 3], times: usize) -> Vec<usize> {
        let mut chooser = Chooser::new(policy, "ch-a-02");
        let mut rng = SmallRng::seed_from_u64(3);
        let candidates: Vec<_> = HOSTS
            .iter()
            .zip(health)
            .map(|(host, health)| Candidate { host, health })
            .collect();
        let now = Instant::now();
        (0..times)
            .map(|_| chooser.choose(&candidates, now, &mut rng).unwrap().index)
            .collect()
    }

    #[track_caller]
    fn check(policy: LoadBalancing, health: &[Health; 3], expected: &[usize]) {
        let mut seen = chosen(policy, health, 100);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, expected, "{policy:?}");
    }

    fn up() -> Health {
        Health::new()
    }

    #[test]
    fn each_policy_chooses_among_usable_replicas_only() {
        check(LoadBalancing::Random, &[up(), up(), up()], &[0, 1, 2]);
        check(LoadBalancing::Random, &[up(), down(100), up()], &[0, 2]);
        check(LoadBalancing::InOrder, &[up(), up(), up()], &[0]);
        check(LoadBalancing::InOrder, &[down(100), up(), up()], &[1]);
        check(LoadBalancing::FirstOrRandom, &[up(), up(), up()], &[0]);
        check(LoadBalancing::FirstOrRandom, &[down(100), up(), up()], &[1, 2]);
        check(LoadBalancing::NearestHostname, &[up(), up(), up()], &[2]);
        check(LoadBalancing::NearestHostname, &[up(), up(), down(100)], &[1]);
    }

    #[test]
    fn round_robin_takes_them_in_turn() {
        assert_eq!(
            chosen(LoadBalancing::RoundRobin, &[up(), up(), up()], 4),
            [0, 1, 2, 0]
        );
        assert_eq!(
            chosen(LoadBalancing::RoundRobin, &[up(), down(100), up()], 4),
            [0, 2, 0, 2]
        );
    }

    #[test]
    fn when_all_are_down_the_one_due_first_is_asked() {
        let health = [down(5_000), down(100), down(5_000)];
        assert_eq!(chosen(LoadBalancing::InOrder, &health, 1), [1]);
    }

    #[test]
    fn without_candidates_nothing_is_chosen() {
        let mut chooser = Chooser::new(LoadBalancing::Random, "here");
        assert_eq!(
            chooser.choose(&[], Instant::now(), &mut SmallRng::seed_from_u64(3)),
            None
        );
    }

    #[test]
    fn the_names_are_clickhouses() {
        for name in [
            "random",
            "nearest_hostname",
            "in_order",
            "first_or_random",
            "round_robin",
        ] {
            assert!(name.parse::<LoadBalancing>().is_ok(), "{name}");
        }
        assert!("fastest".parse::<LoadBalancing>().is_err());
    }
}
