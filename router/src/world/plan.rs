//! What a seed draws first: the cluster, its tables, how bad the world is.

use std::fmt::Write as _;

use config::Config;

use super::dice::Dice;

/// The two tables of every world, and the shards' names.
pub const TABLES: [&str; 2] = ["d.first", "d.second"];

/// How a target recognises a repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// Replicas of a shard share rows and memory.
    pub is_replicated: bool,
    /// Blocks that it remembers; none where it recognises nothing.
    pub window: Option<usize>,
}

/// One world.
#[derive(Debug, Clone)]
pub struct Plan {
    pub shards: usize,
    pub replicas: usize,
    /// A batch goes to one replica of its shard, or to each.
    pub internal_replication: bool,
    /// The first replica of the first shard is the router's own.
    pub has_local: bool,
    /// Of each table.
    pub engines: [Engine; 2],
    /// Servers know no token and recognise a block by its content.
    pub is_old: bool,
    /// The servers do not say that targets have no views.
    pub hides_views: bool,
    /// How often an answer is not the plain one.
    pub trouble: f64,
    /// Attempts may end long after their client gave up.
    pub is_late: bool,
    /// The disk fails.
    pub bad_disk: bool,
    pub steps: usize,
}

impl Plan {
    pub fn draw(dice: &mut Dice) -> Plan {
        let window = dice.pick(&[4, 100, 100]);
        let internal_replication = dice.chance(0.6);
        let engine = |dice: &mut Dice| match dice.number(0..5) {
            // One INSERT to each of a table's own replicas doubles rows, whoever sends them.
            0 | 1 if internal_replication => Engine {
                is_replicated: true,
                window: Some(window),
            },
            0..4 => Engine {
                is_replicated: false,
                window: Some(window),
            },
            _ => Engine {
                is_replicated: false,
                window: None,
            },
        };
        Plan {
            shards: dice.number(1..4),
            replicas: dice.number(1..3),
            internal_replication,
            has_local: dice.chance(0.4),
            engines: [engine(dice), engine(dice)],
            is_old: dice.chance(0.2),
            hides_views: dice.chance(0.3),
            trouble: dice.pick(&[0.0, 0.1, 0.3, 0.6]),
            is_late: window == 100 && dice.chance(0.6),
            bad_disk: dice.chance(0.5),
            steps: dice.number(15..60),
        }
    }

    /// `host:port` of a replica.
    pub fn address(shard: usize, replica: usize) -> String {
        format!("s{shard}-{replica}:8123")
    }

    /// The router's configuration. Nothing is read or written below its spool's path.
    pub fn config(&self) -> Config {
        let mut text = format!(
            "[spool]\npath = \"/nonexistent/weir-world\"\n\
             [send]\nmax_batch_delay = \"50ms\"\nlocal_insert_timeout = \"2s\"\nmax_sleep_time = \"3s\"\n\
             [cluster.main]\ninternal_replication = {}\nuser = \"default\"\n",
            self.internal_replication
        );
        for shard in 0..self.shards {
            let replica = |replica| {
                let is_local = self.has_local && (shard, replica) == (0, 0);
                let address = Plan::address(shard, replica);
                format!("{{ url = \"http://{address}\", local = {is_local} }}")
            };
            let replicas: Vec<_> = (0..self.replicas).map(replica).collect();
            let _ = writeln!(
                text,
                "[[cluster.main.shard]]\nname = \"s{shard}\"\nweight = 1\nreplica = [ {} ]",
                replicas.join(", ")
            );
        }
        for table in TABLES {
            let _ = writeln!(
                text,
                "[[table]]\nname = \"{table}\"\ncluster = \"main\"\ntarget = \"{table}_local\"\nsharding_key = \"id\""
            );
        }
        config::parse(&text, &config::Env::bare()).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
    }
}
